/** @file What is known of the chosen image: its latent, where its bits are, its reconstructions. It outlives the tab. */
import type { Bits } from '../engine/protocol.ts'
import { type Chosen, perform, session } from '../session.svelte.ts'

/** An image after some decoder steps. */
interface Reconstruction {
  readonly steps: number
  /** [size, size, 3] */
  readonly pixels: Uint8Array
  /** dB */
  readonly psnr: number | null
}

/** Steps after which every image is shown. */
const stepsShown = [1, 2, 4, 8, 16]

/** Of the image in view, as it is found. */
export const found: { z: Float32Array | null; bits: Bits | null; list: Reconstruction[] } = $state({
  z: null,
  bits: null,
  list: [],
})

/** What `found` is of. */
let of: { readonly image: Chosen; readonly seed: number } | null = null

/** Which reconstructions are wanted, that of the settings first. */
const wantedSteps = (chosen: number): number[] =>
  session.model?.oneStep ? [1] : [...new Set([chosen, ...stepsShown])]

/**
 * Encodes an image, decodes it and counts its bits; what is known already is not done again.
 * @param steps of the decoder that are wanted first; null for those of the configuration
 */
export const analyse = async (image: Chosen, seed: number, steps: number | null): Promise<void> => {
  if (of?.image !== image || of.seed !== seed) {
    of = { image, seed }
    Object.assign(found, { z: null, bits: null, list: [] })
  }
  const wanted = wantedSteps(steps ?? session.model?.decoderSteps ?? 1)
  const missing = (): number[] => wanted.filter((each) => !found.list.some((known) => known.steps === each))
  if (found.bits !== null && missing().length === 0) return
  await perform('Reconstructing', async (ask) => {
    const { pixels } = image
    found.z ??= (await ask('encode', { pixels, seed })).z
    const z = found.z
    const decode = async (each: number): Promise<void> => {
      const made = await ask('decode', { z, seed, steps: each, original: pixels })
      found.list = [...found.list, { steps: each, ...made }].sort((a, b) => a.steps - b.steps)
    }
    const [first, ...others] = missing()
    if (first !== undefined) await decode(first)
    found.bits ??= await ask('measure', { pixels, seed })
    for (const each of others) await decode(each)
  })
}
