/** @file Images and clips to rows of features, in parts that fit into memory. */
import { clipSizes, framesOf } from '../engine/host/clips.ts'
import { quantiseImages } from '../engine/host/pixels.ts'
import { type HostTensor, joined } from '../engine/host/tensor.ts'
import type { FeatureNetwork } from '../features/network.ts'
import type { ClipSize } from '../features/resize.ts'
import type { ImageSet } from '../method/programs.ts'
import { meanOverFrames } from '../metrics/clipFeatures.ts'
import { type FeatureSet, featureSet } from '../metrics/featureSet.ts'

/** Of how many images or clips, so many at a time. */
export interface Parts {
  readonly count: number
  readonly atOnce: number
  readonly signal?: AbortSignal | undefined
}

/** Images [n, 3, H, W], or clips [n, 3, T, H, W], in bytes. */
const inBytes = (images: HostTensor): { readonly pixels: Uint8Array; readonly size: ClipSize } => {
  if (images.shape.length === 5) {
    const { frames, height, width } = clipSizes(images)
    return { pixels: quantiseImages(framesOf(images)), size: { frames, height, width } }
  }
  const [height, width] = images.shape.slice(2)
  return { pixels: quantiseImages(images), size: { height, width } }
}

/** Features of `count` images or clips that come in parts; `look` sees their bytes as they pass. */
export const featuresOf = async (
  network: FeatureNetwork,
  { count, atOnce, signal }: Parts,
  part: ImageSet['read'],
  look?: (pixels: Uint8Array, first: number) => Promise<void>,
): Promise<FeatureSet> => {
  const rows: Float32Array[] = []
  for (let first = 0; first < count; first += atOnce) {
    const { pixels, size } = inBytes(await part(first, Math.min(atOnce, count - first)))
    rows.push(await network.features(pixels, size, signal))
    await look?.(pixels, first)
  }
  return featureSet(joined(rows), network.dimension)
}

/**
 * A network as it sees clips: one of clips as it is, one of images by the means of its features over the frames, under a name
 * that says so. Its description says how long the clips are.
 * @param frames of every clip, 1 for images
 */
export const forClips = (network: FeatureNetwork, frames: number): FeatureNetwork => {
  if (frames === 1) return network
  if (network.frames !== undefined)
    return { ...network, describe: () => `${network.describe()}; clips of ${frames} frames` }
  const { dimension } = network
  const name = `${network.name} of clips, mean over ${frames} frames`
  return {
    name,
    dimension,
    frames,
    describe: () => `${name}: ${network.describe()}`,
    features: async (pixels, size, signal) => {
      if (size.frames !== frames)
        throw new Error(`features: clips of ${size.frames ?? 1} frames for ${name}; give clips of ${frames}`)
      const rows = featureSet(await network.features(pixels, size, signal), dimension)
      return Float32Array.from(meanOverFrames(rows, frames).data)
    },
    dispose: () => network.dispose(),
  }
}
