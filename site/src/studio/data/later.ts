/** @file Work that is put off: once per pause in what happens, or once per while. */

/** Calls back after milliseconds; returns what calls it off. */
export type After = (milliseconds: number, then: () => void) => () => void

/** By the clock of the page. */
export const afterwards: After = (milliseconds, then) => {
  const timer = setTimeout(then, milliseconds)
  return () => clearTimeout(timer)
}

/** Something that is asked for often and done seldom. */
export interface Later {
  ask(): void
  /** It is not done any more, until it is asked for again. */
  callOff(): void
}

/** Does the work once nobody has asked for it for so many milliseconds. */
export const whenQuiet = (milliseconds: number, work: () => void, after: After = afterwards): Later => {
  let callOff = (): void => {}
  return {
    ask: () => {
      callOff()
      callOff = after(milliseconds, work)
    },
    callOff: () => callOff(),
  }
}

/**
 * Does the work soon after it is asked for, and again at most every so many milliseconds; never twice at once.
 * What is asked for meanwhile is done once, afterwards.
 */
export const atMostEvery = (
  milliseconds: number,
  work: () => Promise<void>,
  after: After = afterwards,
): Later => {
  let [isBusy, isAsked] = [false, false]
  let callOff = (): void => {}
  const go = async (): Promise<void> => {
    isAsked = false
    await work()
    callOff = after(milliseconds, () => {
      isBusy = false
      if (isAsked) start()
    })
  }
  const start = (): void => {
    isBusy = true
    void go()
  }
  return {
    ask: () => {
      if (isBusy) isAsked = true
      else start()
    },
    callOff: () => {
      callOff()
      isAsked = false
      isBusy = false
    },
  }
}
