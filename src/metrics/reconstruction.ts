/** @file What is measured of each reconstruction: one line of the list each. */
import { framesOf } from '../engine/host/clips.ts'
import { floats, type HostTensor } from '../engine/host/tensor.ts'
import { mean } from './mean.ts'
import { psnr } from './psnr.ts'
import { smallestForSsim, ssim } from './ssim.ts'

/** A metric of a reconstruction, held against its original. */
export interface ReconstructionMetric {
  /** Its key in evaluation.json. */
  readonly key: string
  /** As it is printed, and as plots of experiments name it. */
  readonly name: string
  readonly better: 'higher' | 'lower'
  /** Digits after the point. */
  readonly digits: number
  /** One number for each image of [N, 3, H, W], or clip of [N, 3, T, H, W]; null where images of that size do not allow it. */
  of(original: HostTensor, reconstruction: HostTensor): readonly number[] | null
}

const sideOf = ({ shape }: HostTensor): number => Math.min(...shape.slice(2))

/** Largest difference within the 3×3 around each pixel of an image [C, H, W], over all channels; borders repeat. */
const localRange = (image: Float32Array, C: number, H: number, W: number): Float32Array => {
  const ranges = new Float32Array(H * W)
  const near = (i: number, end: number): number[] => [Math.max(i - 1, 0), i, Math.min(i + 1, end - 1)]
  for (let p = 0; p < H * W; p++) {
    const [rows, columns] = [near(Math.floor(p / W), H), near(p % W, W)]
    for (let c = 0; c < C; c++) {
      const values = rows.flatMap((y) => columns.map((x) => image[(c * H + y) * W + x]))
      ranges[p] = Math.max(ranges[p], Math.max(...values) - Math.min(...values))
    }
  }
  return ranges
}

/**
 * Root mean square error on the flat part of each image [N, C, H, W], in steps of 1/255: the speckle that PSNR hides behind
 * edges. Flat is the quarter of the original's pixels whose 3×3 varies least, and what varies as little as the last of them.
 */
export const flatError = (original: HostTensor, reconstruction: HostTensor): number[] => {
  const [N, C, H, W] = original.shape as [number, number, number, number]
  const [a, b] = [floats(original), floats(reconstruction)]
  return Array.from({ length: N }, (_, i) => {
    const ranges = localRange(a.subarray(i * C * H * W, (i + 1) * C * H * W), C, H, W)
    const most = ranges.toSorted()[Math.ceil(ranges.length / 4) - 1]
    let [sum, count] = [0, 0]
    for (const [p, range] of ranges.entries()) {
      if (range > most) continue
      for (let c = 0; c < C; c++) {
        const at = (i * C + c) * H * W + p
        sum += (Math.max(-1, Math.min(1, b[at])) - a[at]) ** 2
      }
      count += C
    }
    return 127.5 * Math.sqrt(sum / count)
  })
}

/** The mean over the frames of each clip [N, C, T, H, W] of a metric of images; of images as it is. */
const overFrames =
  (of: ReconstructionMetric['of']): ReconstructionMetric['of'] =>
  (original, reconstruction) => {
    if (original.shape.length === 4) return of(original, reconstruction)
    const T = original.shape[2]
    const each = of(framesOf(original), framesOf(reconstruction))
    return each && Array.from({ length: each.length / T }, (_, i) => mean(each.slice(i * T, (i + 1) * T)))
  }

/** All of them, in the order in which they are shown. */
export const reconstructionMetrics: readonly ReconstructionMetric[] = [
  { key: 'psnr', name: 'PSNR', better: 'higher', digits: 2, of: psnr },
  {
    key: 'ssim',
    name: 'SSIM',
    better: 'higher',
    digits: 3,
    of: overFrames((original, reconstruction) =>
      sideOf(original) < smallestForSsim ? null : ssim(original, reconstruction),
    ),
  },
  { key: 'flatError', name: 'flat error', better: 'lower', digits: 2, of: overFrames(flatError) },
]
