/** @file Processes that do one job together, as all but their transport see them. */

/** The processes of a job. All of them make the same calls in the same order. */
export interface Collective {
  /** Number of this process, from 0; the first leads: it alone writes and prints. */
  readonly rank: number
  readonly size: number
  /** Adds the numbers of all processes in place, element by element; every process then has the same bits. */
  sum(numbers: Float32Array | Float64Array): Promise<void>
  /** Waits until all processes are here, without keeping a processor busy. */
  meet(): Promise<void>
}

/** A job of one process. */
export const alone: Collective = { rank: 0, size: 1, sum: async () => undefined, meet: async () => undefined }

/** Whether this process is the one that writes and prints. */
export const leads = ({ rank }: Collective): boolean => rank === 0

/** What every process gives, as many numbers each, by rank. */
export const gathered = async (
  together: Collective,
  own: ArrayLike<number>,
): Promise<readonly Float64Array[]> => {
  const { rank, size } = together
  const all = new Float64Array(size * own.length)
  all.set(own, rank * own.length)
  await together.sum(all)
  return Array.from({ length: size }, (_, i) => all.subarray(i * own.length, (i + 1) * own.length))
}

/** What every process gives, however many numbers each, by rank. */
export const gatheredLists = async (
  together: Collective,
  own: ArrayLike<number>,
): Promise<readonly Float64Array[]> => {
  const lengths = (await gathered(together, [own.length])).map(([length]) => length)
  const padded = new Float64Array(Math.max(...lengths))
  padded.set(own)
  return (await gathered(together, padded)).map((list, i) => list.subarray(0, lengths[i]))
}

/**
 * Work on items in rounds, in each of which every process takes one.
 * @returns in every process what all items gave, in their order
 */
export async function* inRounds<T>(
  together: Collective,
  items: readonly T[],
  work: (item: T) => Promise<ArrayLike<number>>,
): AsyncGenerator<readonly [item: T, numbers: Float64Array]> {
  const { rank, size } = together
  for (let from = 0; from < items.length; from += size) {
    const round = items.slice(from, from + size)
    const all = await gatheredLists(together, rank < round.length ? await work(round[rank]) : [])
    for (const [i, item] of round.entries()) yield [item, all[i]]
  }
}

/** Whether anything is so for any process. */
export const isSoForAny = async (together: Collective, isSo: boolean): Promise<boolean> => {
  const count = Float64Array.of(isSo ? 1 : 0)
  await together.sum(count)
  return count[0] > 0
}

/**
 * Lets the leader do work, then the others: what it leaves on disk is there when they begin.
 * @returns what each one's own work gave
 */
export const leaderFirst = async <T>(together: Collective, work: () => Promise<T>): Promise<T> => {
  if (!leads(together)) await together.meet()
  const result = await work()
  if (leads(together)) await together.meet()
  return result
}

/** Lets the leader alone do work, while the others wait; undefined for them. */
export const leaderOnly = async <T>(together: Collective, work: () => Promise<T>): Promise<T | undefined> => {
  const result = leads(together) ? await work() : undefined
  await together.meet()
  return result
}

/** Bytes of a hash that are compared, two to a number. */
const comparedBytes = 16

/**
 * Checks that all processes have the same.
 * @param hash hexadecimal, of 32 digits at least
 * @throws in one sentence naming the first process that has another than the leader
 */
export const expectSame = async (together: Collective, what: string, hash: string): Promise<void> => {
  if (together.size === 1) return
  const words = Array.from({ length: comparedBytes / 2 }, (_, i) =>
    Number.parseInt(hash.slice(4 * i, 4 * i + 4), 16),
  )
  const all = await gathered(together, words)
  const other = all.findIndex((theirs) => theirs.some((word, i) => word !== all[0][i]))
  if (other < 0) return
  throw new Error(
    `${what}: process ${other} of ${together.size} has another than process 0; give all of them the same files and version`,
  )
}

/** Which of `count` a process is to do: every so-manieth, in order. */
export const ownShare = ({ rank, size }: Collective, count: number): number[] =>
  Array.from({ length: Math.ceil((count - rank) / size) }, (_, i) => rank + i * size)
