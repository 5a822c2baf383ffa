/** @file Images as bytes: what is saved and what feature networks see are the same. */
import { floats, type HostTensor, sizeOf } from './tensor.ts'

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
