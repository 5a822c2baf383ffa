/** @file What is measured of each reconstruction: one line of the list each. */
import type { HostTensor } from '../engine/host/tensor.ts'
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
  /** One number for each image of [N, 3, H, W]; null where images of that size do not allow it. */
  of(original: HostTensor, reconstruction: HostTensor): readonly number[] | null
}

const sideOf = ({ shape }: HostTensor): number => Math.min(...shape.slice(2))

/** All of them, in the order in which they are shown. */
export const reconstructionMetrics: readonly ReconstructionMetric[] = [
  { key: 'psnr', name: 'PSNR', better: 'higher', digits: 2, of: psnr },
  {
    key: 'ssim',
    name: 'SSIM',
    better: 'higher',
    digits: 3,
    of: (original, reconstruction) =>
      sideOf(original) < smallestForSsim ? null : ssim(original, reconstruction),
  },
]
