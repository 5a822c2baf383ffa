/** @file A sampler's chain in use: one traced step, run from pure noise to the end on a batch. */

import { float32, type HostTensor, type Shape, scalar } from '../engine/host/tensor.ts'
import type { Step } from './diffusion/sampler.ts'
import { batchNoise } from './stage1.ts'
import type { StepInputs } from './unifiedLatents.ts'

/** The input types of one sampler step. */
export const stepSpecs = (shape: Shape): Record<keyof StepInputs, { shape: Shape }> => ({
  xT: { shape },
  eps: { shape },
  logSnr: { shape: [shape[0]!] },
  keep: { shape: [] },
  clean: { shape: [] },
  noise: { shape: [] },
})

/** Where a chain's noise comes from: the stream of a name, from an example on. */
export interface ChainNoise {
  readonly seed: number
  readonly name: string
  readonly first: number
}

/**
 * Takes all steps of a chain on a batch.
 * @param advance x of the next step from the inputs of this one
 * @param start where the chain begins: pure noise when absent
 */
export const runChain = async (
  steps: readonly Step[],
  shape: Shape,
  { seed, name, first }: ChainNoise,
  advance: (inputs: Readonly<Record<keyof StepInputs, HostTensor>>, step: Step) => Promise<HostTensor>,
  start: HostTensor = batchNoise(shape, seed, name, first),
): Promise<HostTensor> => {
  const B = shape[0]!
  let xT = start
  for (const [i, step] of steps.entries()) {
    const inputs = {
      xT,
      eps: step.noise === 0 ? xT : batchNoise(shape, seed, `${name}/${i}`, first),
      logSnr: float32([B], new Float32Array(B).fill(step.logSnr)),
      keep: scalar(step.keep),
      clean: scalar(step.clean),
      noise: scalar(step.noise),
    }
    xT = await advance(inputs, step)
  }
  return xT
}
