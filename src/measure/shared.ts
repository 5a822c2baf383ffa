/** @file Images and features that several processes make together: each makes a part, all get the whole. */
import { type Collective, inRounds } from '../distributed/collective.ts'
import { float32, floats, type HostTensor } from '../engine/host/tensor.ts'
import type { FeatureNetwork } from '../features/network.ts'
import { batchShape, type Extent } from '../method/networks/shapes.ts'
import { type ImageSet, partsOf } from '../method/programs.ts'

type Read = ImageSet['read']

/** Images that are made when they are read, in batches by turns. @param extent of each */
export const sharedRead = (
  together: Collective,
  { extent, batch }: { readonly extent: Extent; readonly batch: number },
  read: Read,
): Read => {
  if (together.size === 1) return read
  return async (first, n): Promise<HostTensor> => {
    const batches = partsOf(n, batch, batch)
    const shape = batchShape(extent, n)
    const made = new Float32Array(shape.reduce((a, b) => a * b, 1))
    const each = made.length / n
    const work = async (part: { readonly first: number; readonly n: number }) =>
      floats(await read(first + part.first, part.n))
    for await (const [part, images] of inRounds(together, batches, work)) made.set(images, part.first * each)
    return float32(shape, made)
  }
}

/** Images, or clips, of which a process takes the features at a time. */
const atOnce = 32

/** A network whose features each process takes of a part. */
export const sharedNetwork = (together: Collective, network: FeatureNetwork): FeatureNetwork => {
  if (together.size === 1) return network
  return {
    ...network,
    features: async (pixels, size, signal) => {
      const each = 3 * (size.frames ?? 1) * size.height * size.width
      const parts = partsOf(pixels.length / each, atOnce, atOnce)
      const work = ({ first, n }: { readonly first: number; readonly n: number }) =>
        network.features(pixels.subarray(first * each, (first + n) * each), size, signal)
      const rows: Float64Array[] = []
      for await (const [, own] of inRounds(together, parts, work)) rows.push(own)
      return Float32Array.from(rows.flatMap((own) => [...own]))
    },
  }
}
