/** @file Colours of runs that stay with them while others come and go. */

/** Colours in the order of the design's `--series-0` …; more runs share them, dashed. */
export const colourCount = 8

/** How a run is drawn. */
export interface Look {
  /** Which of the colours. */
  readonly colour: number
  /** How often the colour was given before: 0 solid, then dashed ever longer. */
  readonly round: number
}

/** FNV-1a of a text, 32 bits. */
const hash = (text: string): number => {
  let code = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) code = Math.imul(code ^ byte, 0x01000193) >>> 0
  return code
}

/** The looks that were given, which only grow: a run has the look that it was given first. */
export interface Looks {
  /** The look of a run. Its name alone decides where no other run has that colour already; else the next free one is given. */
  of(run: string): Look
  /** All that was given, in its order, to be kept over a reload. */
  given(): readonly (readonly [string, number])[]
}

/** @param kept what `given` returned before a reload */
export const openLooks = (kept: readonly (readonly [string, number])[] = []): Looks => {
  const slots = new Map<string, number>(kept)
  const taken = new Set(slots.values())

  /** Slots of a round come after all those of the round before. */
  const freeSlot = (run: string): number => {
    const wanted = hash(run) % colourCount
    for (let round = 0; ; round++)
      for (let next = 0; next < colourCount; next++) {
        const slot = round * colourCount + ((wanted + next) % colourCount)
        if (!taken.has(slot)) return slot
      }
  }

  return {
    of: (run) => {
      const slot = slots.get(run) ?? freeSlot(run)
      slots.set(run, slot)
      taken.add(slot)
      return { colour: slot % colourCount, round: Math.floor(slot / colourCount) }
    },
    given: () => [...slots],
  }
}
