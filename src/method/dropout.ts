/** @file What drives dropout in training: inputs and feeds of both objectives. */
import { type HostTensor, int32 } from '../engine/host/tensor.ts'
import type { InputSpec } from '../engine/ir/program.ts'
import type { Draw } from './diffusion/draws.ts'

/** Inputs that drive dropout in training. */
export const dropoutInputs: Readonly<Record<'seed' | 'firstExample', InputSpec>> = {
  seed: { shape: [], dtype: 'int32' },
  firstExample: { shape: [], dtype: 'int32' },
}

/** The step, and the number of the part's first example: a part of a batch draws what the whole would. */
export const dropoutFeeds = ({
  step,
  part,
}: Draw): Readonly<Record<keyof typeof dropoutInputs, HostTensor>> => ({
  seed: int32([], [step]),
  firstExample: int32([], [part.first]),
})
