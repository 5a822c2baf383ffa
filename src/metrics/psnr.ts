/** @file Peak signal-to-noise ratio, and the trivial codec that reconstructions are held against. */

/**
 * PSNR per image in dB: 10 log₁₀(2²/MSE) for images in [−1, 1], the reconstruction clipped to that range.
 * @param count number of images in both arrays
 */
export const psnr = (original: Float32Array, reconstruction: Float32Array, count: number): number[] => {
  const each = original.length / count
  return Array.from({ length: count }, (_, i) => {
    let sum = 0
    for (let j = i * each; j < (i + 1) * each; j++) {
      const clipped = Math.max(-1, Math.min(1, reconstruction[j]!))
      sum += (original[j]! - clipped) ** 2
    }
    return 10 * Math.log10(4 / Math.max(sum / each, 1e-12))
  })
}

/**
 * Images averaged down over block×block pixels and brought back by bilinear interpolation (half-pixel centres,
 * edges held): what a latent grid of that resolution gives for free.
 * @param images [N, C, size, size] flattened; `planes` is N·C
 */
export const boxDownBilinearUp = (
  images: Float32Array,
  planes: number,
  size: number,
  block: number,
): Float32Array => {
  const grid = size / block
  const small = new Float32Array(planes * grid * grid)
  for (let p = 0; p < planes; p++) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const cell = (p * grid + Math.floor(y / block)) * grid + Math.floor(x / block)
        small[cell]! += images[(p * size + y) * size + x]! / block ** 2
      }
    }
  }
  const axis = Array.from({ length: size }, (_, i) => {
    const at = Math.max(0, Math.min(grid - 1, (i + 0.5) / block - 0.5))
    const low = Math.floor(at)
    return { low, high: Math.min(grid - 1, low + 1), share: at - low }
  })
  const out = new Float32Array(images.length)
  for (let p = 0; p < planes; p++) {
    const at = (y: number, x: number): number => small[(p * grid + y) * grid + x]!
    for (let y = 0; y < size; y++) {
      const r = axis[y]!
      for (let x = 0; x < size; x++) {
        const c = axis[x]!
        const top = at(r.low, c.low) * (1 - c.share) + at(r.low, c.high) * c.share
        const bottom = at(r.high, c.low) * (1 - c.share) + at(r.high, c.high) * c.share
        out[(p * size + y) * size + x] = top * (1 - r.share) + bottom * r.share
      }
    }
  }
  return out
}
