/** @file Programs of fixed batch size run over any number of examples: the last batch is padded and cut. */
import { float32, type HostTensor, joined, type Shape } from '../engine/host/tensor.ts'
import type { Program } from '../engine/ir/program.ts'
import type { Executable, Runtime } from '../engine/runtime/runtime.ts'

/** A program that is compiled when it is first run: who only encodes does not hold a decoder's packed weights. */
export const compiledOnUse = (
  runtime: Runtime,
  program: () => Program,
): Pick<Executable, 'run' | 'dispose'> => {
  let compiled: Promise<Executable> | undefined
  return {
    run: async (feeds) => {
      compiled ??= runtime.compile(program())
      return (await compiled).run(feeds)
    },
    dispose: async () => (await compiled)?.dispose(),
  }
}

/** Pixels of a batch of frozen networks at most: 64 images of 64×64, one of 512×512. */
const batchPixels = 64 * 64 ** 2
const largestBatch = 64

/** The batch for `count` images of a size: what there is, what is efficient, what fits memory. */
export const batchFor = (count: number, size: number): number =>
  Math.max(1, Math.min(largestBatch, count, Math.floor(batchPixels / size ** 2)))

/** Images in memory at a time where a set is measured. */
const mostAtOnce = 64

/**
 * The parts in which `count` examples are worked through: whole batches, so that every example meets the same ones in
 * its batch however large the parts are, and nothing that is computed of it depends on that.
 */
export const partsOf = (
  count: number,
  batch: number,
  atOnce: number = mostAtOnce,
): { readonly first: number; readonly n: number }[] => {
  const most = batch * Math.max(1, Math.floor(atOnce / batch))
  return Array.from({ length: Math.ceil(count / most) }, (_, i) => ({
    first: i * most,
    n: Math.min(most, count - i * most),
  }))
}

/**
 * Runs `body` on batches of exactly `batch` examples and joins the results.
 * @param count number of examples
 * @param body given the first example's index and how many of the batch are real; returns the batch's result
 */
export const inBatches = async (
  count: number,
  batch: number,
  body: (first: number, real: number) => Promise<Float32Array>,
): Promise<Float32Array> => {
  const parts: Float32Array[] = []
  for (let first = 0; first < count; first += batch) {
    const real = Math.min(batch, count - first)
    const result = await body(first, real)
    parts.push(result.subarray(0, (result.length / batch) * real))
  }
  return joined(parts)
}

/** Examples [first, first+B) of `data`, zero where there are none left. */
export const batchOf = (data: Float32Array, shape: Shape, first: number): HostTensor => {
  const each = shape.slice(1).reduce((n, d) => n * d, 1)
  const out = new Float32Array(shape[0]! * each)
  out.set(data.subarray(first * each, Math.min(data.length, (first + shape[0]!) * each)))
  return float32(shape, out)
}

/** Images that are read when their turn comes. */
export interface ImageSet {
  readonly count: number
  /** Images `first` to `first + n − 1`: [n, 3, H, W] in [−1, 1]. */
  read(first: number, n: number): Promise<Float32Array>
}
