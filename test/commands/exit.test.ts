/** @file What signals do to a job: the first asks it to end, from the second on they do what they do by themselves. */
import { afterEach, expect, it, vi } from 'vitest'
import { exitCodeOf, untilInterrupted } from '../../src/commands/exit.ts'

const listeners = (): number[] =>
  ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => process.listenerCount(signal))

const before = listeners()
const written = vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
afterEach(() => written.mockClear())

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

it('a second signal ends at once: it is no longer listened to, but for what npm passes on of the first', async () => {
  let end: (finished: boolean) => void = () => undefined
  const work = new Promise<boolean>((resolve) => {
    end = resolve
  })
  let told: AbortSignal | undefined
  const job = untilInterrupted((signal) => {
    told = signal
    return work
  })
  expect(listeners()).toEqual(before.map((count) => count + 1))
  process.emit('SIGINT')
  expect(told?.aborted).toBe(true)
  process.emit('SIGINT') // npm's
  expect(listeners()).toEqual(before.map((count) => count + 1))
  await pause(250)
  expect(listeners()).toEqual(before)
  await pause(1500)
  expect(written.mock.calls.flat().join('')).toMatch(/^stopping as soon as the step under way is done/)
  end(true)
  await job
})

it('a job that gets to its end all the same has ended well', async () => {
  const job = async (): Promise<boolean> => {
    process.emit('SIGTERM')
    return true
  }
  expect(await exitCodeOf(() => untilInterrupted(job))).toBe(0)
  expect(listeners()).toEqual(before)
})

it('an error that the signal caused is told from one of its own', async () => {
  const own = async (): Promise<void> => {
    process.emit('SIGTERM')
    throw new Error('a fault of its own\nin \u001b[31mtwo lines')
  }
  expect(await exitCodeOf(() => untilInterrupted(own))).toBe(1)
  expect(written.mock.calls.flat()).toEqual(['ul: a fault of its own\\nin \\u001b[31mtwo lines\n'])
})
