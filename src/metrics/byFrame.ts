/** @file Metrics of images by the index of the frame in a clip: how reconstructions and predictions change over time. */
import { clipSizes, framesOf } from '../engine/host/clips.ts'
import { type HostTensor, sameShape, showShape } from '../engine/host/tensor.ts'
import type { Measured } from './figures.ts'
import { meanAndError } from './mean.ts'
import type { ReconstructionMetric } from './reconstruction.ts'

/** A metric of images, such as `psnr`, `ssim` or the `of` of another in the list of reconstruction.ts. */
export type ImageMetric = ReconstructionMetric['of']

/**
 * A metric of images, of every frame of clips.
 * @param original clips [N, 3, T, H, W] in [−1, 1] @param reconstruction the same
 * @returns for each of the T frame indices the N clips' numbers; null where frames of that size do not allow the metric
 * @throws where the shapes differ
 */
export const valuesByFrame = (
  metric: ImageMetric,
  original: HostTensor,
  reconstruction: HostTensor,
): number[][] | null => {
  if (!sameShape(original.shape, reconstruction.shape)) {
    const shapes = `${showShape(original.shape)} and ${showShape(reconstruction.shape)}`
    throw new Error(`clip: originals and reconstructions have shapes ${shapes}; pass equal ones`)
  }
  const { clips, frames } = clipSizes(original)
  const values = metric(framesOf(original), framesOf(reconstruction))
  if (values === null) return null
  return Array.from({ length: frames }, (_, t) =>
    Array.from({ length: clips }, (_, n) => values[n * frames + t]),
  )
}

/** Its mean over clips with the standard error, [T]. @throws as valuesByFrame */
export const meansByFrame = (
  metric: ImageMetric,
  original: HostTensor,
  reconstruction: HostTensor,
): Measured[] | null => valuesByFrame(metric, original, reconstruction)?.map(meanAndError) ?? null
