/** @file Peak signal-to-noise ratio, and the trivial codec that reconstructions are held against. */
import { countOf, float32, floats, type HostTensor } from '../engine/host/tensor.ts'

/** PSNR per image in dB: 10 log₁₀(2²/MSE) for images [N, C, H, W] in [−1, 1], the reconstruction clipped to that range. */
export const psnr = (original: HostTensor, reconstruction: HostTensor): number[] => {
  const count = countOf(original)
  const [a, b] = [floats(original), floats(reconstruction)]
  const each = a.length / count
  return Array.from({ length: count }, (_, i) => {
    let sum = 0
    for (let j = i * each; j < (i + 1) * each; j++) {
      const clipped = Math.max(-1, Math.min(1, b[j]))
      sum += (a[j] - clipped) ** 2
    }
    return 10 * Math.log10(4 / Math.max(sum / each, 1e-12))
  })
}

/** Where bilinear interpolation from cells of `block` pixels finds each of `size`: half-pixel centres, edges held. */
const interpolated = (size: number, block: number) =>
  Array.from({ length: size }, (_, i) => {
    const grid = size / block
    const at = Math.max(0, Math.min(grid - 1, (i + 0.5) / block - 0.5))
    const low = Math.floor(at)
    return { low, high: Math.min(grid - 1, low + 1), share: at - low }
  })

/**
 * Images [N, C, H, W] averaged down over block×block pixels and brought back by bilinear interpolation: what a latent grid
 * of that resolution gives for free.
 */
export const boxDownBilinearUp = (images: HostTensor, block: number): HostTensor => {
  const [N, C, H, W] = images.shape as [number, number, number, number]
  const [h, w] = [H / block, W / block]
  const given = floats(images)
  const small = new Float32Array(N * C * h * w)
  const out = new Float32Array(given.length)
  const [rows, columns] = [interpolated(H, block), interpolated(W, block)]
  for (let p = 0; p < N * C; p++) {
    for (let y = 0; y < H; y++) {
      for (let x = 0; x < W; x++) {
        const cell = (p * h + Math.floor(y / block)) * w + Math.floor(x / block)
        small[cell] += given[(p * H + y) * W + x] / block ** 2
      }
    }
    const at = (y: number, x: number): number => small[(p * h + y) * w + x]
    for (const [y, r] of rows.entries()) {
      for (const [x, c] of columns.entries()) {
        const top = at(r.low, c.low) * (1 - c.share) + at(r.low, c.high) * c.share
        const bottom = at(r.high, c.low) * (1 - c.share) + at(r.high, c.high) * c.share
        out[(p * H + y) * W + x] = top * (1 - r.share) + bottom * r.share
      }
    }
  }
  return float32(images.shape, out)
}

/**
 * What a latent grid of images [N, C, H, W], or of clips [N, C, T, H, W], gives for free: `boxDownBilinearUp`, and for clips then
 * the mean over `frames` frames, brought back by linear interpolation in time.
 */
export const latentGridReference = (x: HostTensor, block: number, frames = 1): HostTensor => {
  if (x.shape.length === 4) return boxDownBilinearUp(x, block)
  const [N, C, T, H, W] = x.shape as [number, number, number, number, number]
  const inSpace = floats(boxDownBilinearUp({ ...x, shape: [N, C * T, H, W] }, block))
  const plane = H * W
  const out = new Float32Array(inSpace.length)
  const times = interpolated(T, frames)
  for (let p = 0; p < N * C; p++) {
    for (let i = 0; i < plane; i++) {
      const means = new Float64Array(T / frames)
      for (let t = 0; t < T; t++) means[Math.floor(t / frames)] += inSpace[(p * T + t) * plane + i] / frames
      for (const [t, { low, high, share }] of times.entries())
        out[(p * T + t) * plane + i] = means[low] * (1 - share) + means[high] * share
    }
  }
  return float32(x.shape, out)
}
