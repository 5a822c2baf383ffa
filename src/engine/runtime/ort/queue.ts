/** @file The queue in which a runtime's runs wait for each other. */

/** Appends a job and returns its result. */
export type Enqueue = <T>(job: () => Promise<T>) => Promise<T>

/** Lets timers and finished reads through: a run blocks the event loop for as long as it takes. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    // Browsers have no setImmediate, and a timeout of theirs takes up to 4 ms.
    if (typeof globalThis.setImmediate === 'function') setImmediate(resolve)
    else {
      const { port1, port2 } = new MessageChannel()
      const onmessage = (): void => {
        port1.close()
        resolve()
      }
      Object.assign(port1, { onmessage }) // the setter that browsers and Node share; listeners are started otherwise
      port2.postMessage(null)
    }
  })

/** Runs jobs one after the other; a job that fails does not disturb the next. */
export const serialQueue = (): Enqueue => {
  let tail: Promise<unknown> = Promise.resolve()
  return (job) => {
    const result = tail.then(turn).then(job)
    tail = result.catch(() => undefined)
    return result
  }
}
