/** @file Colours of runs that outlive a reload: kept for as long as the tab is open. */
import { type Looks, openLooks } from './data/colours.ts'

const key = 'studio-looks'

const keptLooks = (): readonly (readonly [string, number])[] => {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(key) ?? '[]')
    return Array.isArray(kept) ? kept : []
  } catch {
    return [] // no storage, or none of ours: colours start anew
  }
}

/** Looks that begin with what the tab had before a reload. */
export const openKeptLooks = (): Looks => {
  const looks = openLooks(keptLooks())
  window.addEventListener('pagehide', () => {
    try {
      sessionStorage.setItem(key, JSON.stringify(looks.given()))
    } catch {
      // Without storage a reload gives new colours.
    }
  })
  return looks
}
