/** @file Sets of features for the metric tests, and the golden values of tools/metrics_golden.py. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { fillNormal, streamKey } from '../../src/engine/host/random.ts'
import { floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { readSafetensors } from '../../src/files/safetensors.ts'
import { type FeatureSet, featureSet, type Rows } from '../../src/metrics/featureSet.ts'

const golden = (name: string): string => fileURLToPath(new URL(`../golden/${name}`, import.meta.url))

/** Results of numpy, SciPy, scikit-image and PyTorch. */
export interface GoldenNumbers {
  readonly full: Readonly<Record<'frechet' | 'kid' | 'precision' | 'recall', number>>
  readonly short: Readonly<Record<'frechet' | 'kid' | 'precision' | 'recall', number>>
  readonly ssim: readonly number[]
  readonly mixed5: readonly (readonly number[])[]
}

export const goldenNumbers = (): GoldenNumbers =>
  JSON.parse(readFileSync(golden('metrics.json'), 'utf8')) as GoldenNumbers

/** Their inputs, and resized images. */
export const goldenTensors = (): Readonly<Record<string, HostTensor>> =>
  readSafetensors(golden('metrics.safetensors')).tensors

export const goldenSet = (tensors: Readonly<Record<string, HostTensor>>, name: string): FeatureSet =>
  featureSet(floats(tensors[name]), tensors[name].shape[1])

/** Independent normal features, `spread` wide, around `shift`. */
export const normalSet = (
  seed: number,
  count: number,
  dimension: number,
  { shift = 0, spread = 1 }: { readonly shift?: number; readonly spread?: number } = {},
): FeatureSet => {
  const data = new Float32Array(count * dimension)
  fillNormal(data, streamKey(seed, 'metric test'))
  return featureSet(
    Float64Array.from(data, (x) => spread * x + shift),
    dimension,
  )
}

/** All rows of a set. */
export const rowsOf = ({ rows, count }: FeatureSet): Rows => rows(0, count)
