/** @file How much of a card's memory is taken: asked from outside, so that every participant is asked alike. */
import { spawnSync } from 'node:child_process'

/** Bytes of the first card that all programs have taken together; null where nvidia-smi does not say. */
export const cardBytesTaken = (): number | null => {
  const args = ['--query-gpu=memory.used', '--format=csv,noheader,nounits', '--id=0']
  const { status, stdout } = spawnSync('nvidia-smi', args, { encoding: 'utf8', timeout: 10_000 })
  const mebibytes = status === 0 ? Number.parseInt(stdout, 10) : Number.NaN
  return Number.isNaN(mebibytes) ? null : mebibytes * 2 ** 20
}

/** What something took of the card besides its result; null where that is not known. */
export const takingOfCard = async <T>(
  asks: boolean,
  work: () => Promise<T>,
): Promise<readonly [result: T, bytes: number | null]> => {
  const before = asks ? cardBytesTaken() : null
  const result = await work()
  const after = before === null ? null : cardBytesTaken()
  return [result, before === null || after === null ? null : Math.max(0, after - before)]
}
