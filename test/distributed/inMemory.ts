/** @file Processes of a job that are none: collectives that meet in the memory of one process. */
import type { Collective } from '../../src/distributed/collective.ts'

/** Calls that wait for the others' of the same number: [call][rank]. */
interface Meeting {
  readonly came: Map<number, Float32Array | Float64Array | null>
  readonly all: Promise<void>
  readonly open: () => void
}

const meetingOf = (): Meeting => {
  let open: () => void = () => undefined
  const all = new Promise<void>((resolve) => {
    open = resolve
  })
  return { came: new Map(), all, open }
}

/** As many collectives of one job, whose sums are added by rank. */
export const processesInMemory = (size: number): Collective[] => {
  const meetings: Meeting[] = []
  const arrive = async (
    rank: number,
    call: number,
    numbers: Float32Array | Float64Array | null,
  ): Promise<void> => {
    meetings[call] ??= meetingOf()
    const { came, all, open } = meetings[call]
    came.set(rank, numbers)
    if (came.size === size) {
      const lists = Array.from({ length: size }, (_, i) => came.get(i) ?? null)
      const kinds = new Set(lists.map((list) => `${list?.constructor.name} ${list?.length}`))
      if (kinds.size > 1) throw new Error(`call ${call}: processes disagree (${[...kinds].join(', ')})`)
      const sums = lists[0]?.slice().fill(0)
      for (const list of lists) {
        for (const [i, v] of list?.entries() ?? []) sums![i] += v
      }
      for (const list of lists) list?.set(sums!)
      open()
    }
    await all
  }
  return Array.from({ length: size }, (_, rank) => {
    let calls = 0
    return {
      rank,
      size,
      sum: (numbers) => arrive(rank, calls++, numbers),
      meet: () => arrive(rank, calls++, null),
    }
  })
}

/** Does work in every process at once. @returns what each gave, by rank */
export const inEach = <T>(size: number, work: (together: Collective) => Promise<T>): Promise<T[]> =>
  Promise.all(processesInMemory(size).map(work))
