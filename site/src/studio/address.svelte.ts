/** @file The page's state and its address, each following the other. */
import { whenQuiet } from './data/later.ts'
import { type PageState, queryOf, stateIn } from './data/pageState.ts'

/** The state, read anywhere and changed by `go` alone. */
export interface Address {
  readonly state: PageState
  /** Changes the state. Another view or run is a step that the way back undoes; all else replaces what is there. */
  go(change: Partial<PageState>): void
  /** The address of a changed state, for links. */
  href(change: Partial<PageState>): string
}

/** Browsers refuse more than some hundred changes of the address in a short time, such as a slider makes. */
const pause = 250

const queryAddress = (state: PageState): string => {
  const query = queryOf(state)
  return query === '' ? location.pathname : `?${query}`
}

/** Ties the state to the address of this document, for as long as it is open. */
export const openAddress = (): Address => {
  let state = $state.raw(stateIn(location.search))
  const write = (): void => history.replaceState(null, '', queryAddress(state))
  const soon = whenQuiet(pause, write)
  const writeNow = (): void => {
    soon.callOff()
    write()
  }
  window.addEventListener('popstate', () => {
    soon.callOff()
    state = stateIn(location.search)
  })
  window.addEventListener('pagehide', writeNow)
  return {
    get state() {
      return state
    },
    go: (change) => {
      const before = state
      const isElsewhere =
        (change.view ?? before.view) !== before.view ||
        (change.run === undefined ? before.run : change.run) !== before.run
      if (isElsewhere) writeNow()
      state = { ...before, ...change }
      if (isElsewhere) history.pushState(null, '', queryAddress(state))
      else soon.ask()
    },
    href: (change) => queryAddress({ ...state, ...change }),
  }
}
