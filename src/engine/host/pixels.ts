/** @file Images as bytes and as what networks take: what is saved and what feature networks see are the same. */
import { float32, floats, type HostTensor, sizeOf } from './tensor.ts'

/** The quantiser, for reports: another in use, clip(127.5x + 128), moves Fréchet distances. */
export const quantiserName = 'round(127.5x + 127.5), clipped to 0 … 255'

/**
 * Images [N, 3, H, W] in [−1, 1] as bytes [N, H, W, 3], by `quantiserName`; halves go up, NaN becomes 0.
 */
export const quantiseImages = (tensor: HostTensor): Uint8Array => {
  const images = floats(tensor)
  const plane = sizeOf(tensor.shape.slice(2))
  const out = new Uint8Array(images.length)
  for (let at = 0; at < images.length; at++) {
    const image = Math.floor(at / (3 * plane))
    const channel = Math.floor(at / plane) % 3
    const byte = Math.round(127.5 * images[at] + 127.5)
    out[(image * plane + (at % plane)) * 3 + channel] = Math.max(0, Math.min(255, byte))
  }
  return out
}

/**
 * Bytes to network input: [n, size, size, 3], 0..255 → [n, 3, size, size], x / 127.5 − 1; clips [n, frames, size, size, 3] →
 * [n, 3, frames, size, size].
 * @param flips which images or clips to mirror left to right; none when left out
 */
export const toNchw = (
  pixels: Uint8Array,
  { size, frames }: { readonly size: number; readonly frames?: number | undefined },
  flips: readonly boolean[] = [],
): HostTensor => {
  const [plane, T] = [size * size, frames ?? 1]
  const each = 3 * T * plane
  const count = pixels.length / each
  const out = new Float32Array(pixels.length)
  for (let n = 0; n < count; n++) {
    for (let t = 0; t < T; t++) {
      const from = n * each + 3 * t * plane
      const to = n * each + t * plane
      for (let at = 0; at < plane; at++) {
        const column = at % size
        const start = from + 3 * (flips[n] ? at + size - 1 - 2 * column : at)
        for (let c = 0; c < 3; c++) out[to + c * T * plane + at] = pixels[start + c] / 127.5 - 1
      }
    }
  }
  return float32([count, 3, ...(frames === undefined ? [] : [frames]), size, size], out)
}
