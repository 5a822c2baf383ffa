/** @file The queue in which a runtime's runs wait for each other. */

/** Appends a job and returns its result. */
export type Enqueue = <T>(job: () => Promise<T>) => Promise<T>

/** Lets timers and finished reads through: a run blocks the event loop for as long as it takes. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Runs jobs one after the other; a job that fails does not disturb the next. */
export const serialQueue = (): Enqueue => {
  let tail: Promise<unknown> = Promise.resolve()
  return (job) => {
    const result = tail.then(turn).then(job)
    tail = result.catch(() => undefined)
    return result
  }
}
