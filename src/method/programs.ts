/** @file Programs of fixed batch size run over any number of examples: the last batch is padded and cut. */
import { countOf, examplesOf, type HostTensor, stacked } from '../engine/host/tensor.ts'
import type { DeviceState, Executable, Runtime } from '../engine/runtime/runtime.ts'
import type { FrozenProgram } from '../train/frozen.ts'
import { type Extent, positionsOf } from './networks/shapes.ts'

/** A program that is compiled when it is first run: who only encodes does not hold a decoder's packed weights. */
export interface CompiledOnUse<I extends string, O extends string> {
  /** Inputs that are left out come from the state, or are not read by the program. */
  run(
    feeds: Readonly<Partial<Record<I, HostTensor>>>,
    state?: DeviceState,
  ): Promise<Readonly<Record<O, HostTensor>>>
  dispose(): Promise<void>
}

/** @param updates state tensor → output that replaces it after a run */
export const compiledOnUse = <I extends string, O extends string>(
  runtime: Runtime,
  program: () => FrozenProgram<I, O>,
  updates: Readonly<Record<string, O>> = {},
): CompiledOnUse<I, O> => {
  let compiled: Promise<Executable> | undefined
  return {
    run: async (feeds, state) => {
      compiled ??= runtime.compile(program().program, { updates })
      const given = Object.entries(feeds).filter(([, tensor]) => tensor !== undefined)
      const executable = await compiled
      return (await executable.run(Object.fromEntries(given) as Record<string, HostTensor>, state)) as Record<
        O,
        HostTensor
      >
    },
    dispose: async () => (await compiled)?.dispose(),
  }
}

/** Pixels of a batch of frozen networks at most: 64 images of 64×64, one of 512×512. */
const batchPixels = 64 * 64 ** 2
const largestBatch = 64

/** The batch for `count` images: what there is, what is efficient, what fits memory. */
export const batchFor = (count: number, image: Extent): number =>
  Math.max(1, Math.min(largestBatch, count, Math.floor(batchPixels / positionsOf(image))))

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
 * Runs `body` on batches of exactly `batch` examples and joins what they give.
 * @param count number of examples, at least one
 * @param body given the first example's index; returns the batch's result [batch, …]
 */
export const inBatches = async (
  count: number,
  batch: number,
  body: (first: number) => Promise<HostTensor>,
): Promise<HostTensor> => {
  const parts: HostTensor[] = []
  for (let first = 0; first < count; first += batch) {
    parts.push(examplesOf(await body(first), 0, Math.min(batch, count - first)))
  }
  return stacked(parts)
}

/** Images that are read when their turn comes. */
export interface ImageSet {
  readonly count: number
  /** Images `first` to `first + n − 1`: [n, 3, H, W] in [−1, 1]. */
  read(first: number, n: number): Promise<HostTensor>
}

/** Images that are in memory, [N, 3, H, W]. */
export const imageSetOf = (images: HostTensor): ImageSet => ({
  count: countOf(images),
  read: async (first, n) => examplesOf(images, first, n),
})
