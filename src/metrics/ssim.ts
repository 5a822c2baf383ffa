/** @file Structural similarity of images. */
import { floats, type HostTensor, sameShape, showShape } from '../engine/host/tensor.ts'

const radius = 5
const width = 2 * radius + 1

/** Smallest side of an image that the window fits. */
export const smallestForSsim: number = width
const sigma = 1.5
/** (0.01·L)² and (0.03·L)² for images in [−1, 1], whose range L is 2. */
const c1 = 0.02 ** 2
const c2 = 0.06 ** 2

const gaussian = ((): readonly number[] => {
  const weights = Array.from({ length: width }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)))
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((w) => w / sum)
})()

/** Gaussian means of a plane at the positions where the whole window lies inside it. */
const smooth = (plane: Float64Array, height: number, columns: number): Float64Array => {
  const [rows, inner] = [height - 2 * radius, columns - 2 * radius]
  const across = new Float64Array(height * inner)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < inner; x++) {
      let sum = 0
      for (let i = 0; i < width; i++) sum += gaussian[i] * plane[y * columns + x + i]
      across[y * inner + x] = sum
    }
  }
  const out = new Float64Array(rows * inner)
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < inner; x++) {
      let sum = 0
      for (let i = 0; i < width; i++) sum += gaussian[i] * across[(y + i) * inner + x]
      out[y * inner + x] = sum
    }
  }
  return out
}

const planeSsim = (a: Float64Array, b: Float64Array, height: number, columns: number): number => {
  const product = (x: Float64Array, y: Float64Array): Float64Array => x.map((v, i) => v * y[i])
  const [meanA, meanB, aa, bb, ab] = [a, b, product(a, a), product(b, b), product(a, b)].map((plane) =>
    smooth(plane, height, columns),
  ) as [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array]
  let sum = 0
  for (let i = 0; i < meanA.length; i++) {
    const [ma, mb] = [meanA[i], meanB[i]]
    const [varianceA, varianceB, covariance] = [aa[i] - ma * ma, bb[i] - mb * mb, ab[i] - ma * mb]
    sum +=
      ((2 * ma * mb + c1) * (2 * covariance + c2)) / ((ma * ma + mb * mb + c1) * (varianceA + varianceB + c2))
  }
  return sum / meanA.length
}

/**
 * SSIM of each image in [−1, 1] (Wang et al. 2004): Gaussian windows of 11×11 with σ 1.5, K = 0.01 and 0.03, range 2,
 * the mean over all positions where the window lies within the image, then over channels. The reconstruction is
 * clipped to [−1, 1] first, as for PSNR. Equal to scikit-image's `structural_similarity` with gaussian_weights=True,
 * sigma=1.5, use_sample_covariance=False, data_range=2.
 * @param original [N, C, H, W] @param reconstruction the same
 * @throws for images smaller than the window, and for another shape of the reconstruction
 */
export const ssim = (original: HostTensor, reconstruction: HostTensor): number[] => {
  const [N, C, H, W] = original.shape as [number, number, number, number]
  if (H < width || W < width) {
    throw new Error(`ssim: images of ${H}×${W} are smaller than the window of ${width}×${width}`)
  }
  if (!sameShape(original.shape, reconstruction.shape)) {
    const shapes = `${showShape(original.shape)} and ${showShape(reconstruction.shape)}`
    throw new Error(`ssim: originals and reconstructions have shapes ${shapes}; pass equal ones`)
  }
  const plane = (images: HostTensor, p: number): Float64Array =>
    Float64Array.from(floats(images).subarray(p * H * W, (p + 1) * H * W), (v) =>
      Math.max(-1, Math.min(1, v)),
    )
  return Array.from({ length: N }, (_, i) => {
    let sum = 0
    for (let c = 0; c < C; c++) {
      const p = i * C + c
      sum += planeSsim(plane(original, p), plane(reconstruction, p), H, W)
    }
    return sum / C
  })
}
