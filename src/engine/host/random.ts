/**
 * @file Counter-based random numbers: every draw is a pure function of (seed, stream, index), so that resuming,
 * changing the batch size or the provider never changes an image's noise.
 */

/** A 64-bit key that names one stream of random numbers. */
export interface RandomKey {
  readonly hi: number
  readonly lo: number
}

/** A 32-bit finaliser with low avalanche bias (constants found by exhaustive search, C. Wellons, "prospecting for hash functions"). */
const mix = (x: number): number => {
  let h = x
  h ^= h >>> 16
  h = Math.imul(h, 0x7feb352d)
  h ^= h >>> 15
  h = Math.imul(h, 0x846ca68b)
  return h ^ (h >>> 16)
}

const hashText = (text: string): number => {
  let h = 0x811c9dc5 // FNV-1a
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return mix(h)
}

const fold = (key: RandomKey, word: number): RandomKey => ({
  hi: mix((key.hi + 0x9e3779b9) ^ mix(word ^ 0x2545f491)) >>> 0,
  lo: mix((key.lo ^ word) + 0x85ebca6b + mix(key.hi)) >>> 0,
})

/**
 * The key of a named stream, for example `streamKey(seed, 'eps', step, sample)`.
 * Parts may be text or integers below 2⁵³.
 */
export const streamKey = (seed: number, ...parts: readonly (string | number)[]): RandomKey => {
  let key = fold(fold({ hi: 0x243f6a88, lo: 0x85a308d3 }, seed | 0), Math.floor(seed / 2 ** 32) | 0)
  for (const part of parts) {
    if (typeof part === 'string') key = fold(key, hashText(part))
    else key = fold(fold(key, part | 0), Math.floor(part / 2 ** 32) | 0)
  }
  return key
}

/** The `index`-th 32-bit word of a stream, 0 ≤ word < 2³². */
export const randomWord = (key: RandomKey, index: number): number =>
  mix(mix((index + key.lo) | 0) ^ (key.hi + Math.imul(index, 0x9e3779b9))) >>> 0

/** The `index`-th uniform of a stream, in (0, 1). */
export const randomUniform = (key: RandomKey, index: number): number =>
  (randomWord(key, index) + 0.5) / 2 ** 32

/** Fills `out[offset, offset+count)` with the stream's standard normals (Box–Muller, two per pair of words). */
export const fillNormal = (
  out: Float32Array,
  key: RandomKey,
  offset = 0,
  count: number = out.length - offset,
): void => {
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(randomUniform(key, i)))
    const angle = 2 * Math.PI * randomUniform(key, i + 1)
    out[offset + i] = radius * Math.cos(angle)
    if (i + 1 < count) out[offset + i + 1] = radius * Math.sin(angle)
  }
}
