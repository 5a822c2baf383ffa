/** @file What the server says of a form while it is filled in. */
import type { CheckAnswer, StartRequest } from '../../../../src/studio/api.ts'
import type { StudioClient } from '../data/client.ts'
import { whenQuiet } from '../data/later.ts'

/** The errors of the last check, and whether they are of what is in the form now. */
export interface Checked {
  readonly answer: CheckAnswer
  readonly isChecking: boolean
  /** Why it could not be checked, in one sentence. */
  readonly fault: string | null
}

/** Milliseconds without a key before the server is asked. */
const pause = 300

/** Checks a request, null while there is none, whenever it changes, for as long as the component is there. */
export const followCheck = (client: StudioClient, request: () => StartRequest | null): Checked => {
  let answer = $state.raw<CheckAnswer>({ errors: {} })
  let isChecking = $state(false)
  let fault = $state<string | null>(null)

  $effect(() => {
    const asked = request()
    if (asked === null) return
    const ends = new AbortController()
    isChecking = true
    const later = whenQuiet(pause, async () => {
      try {
        answer = await client.check(asked, ends.signal)
        fault = null
      } catch (cause) {
        if (ends.signal.aborted) return
        fault = cause instanceof Error ? cause.message : String(cause)
      }
      isChecking = false
    })
    later.ask()
    return () => {
      later.callOff()
      ends.abort()
    }
  })

  return {
    get answer() {
      return answer
    },
    get isChecking() {
      return isChecking
    },
    get fault() {
      return fault
    },
  }
}
