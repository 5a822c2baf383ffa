/** @file Images and clips to rows of features, in parts that fit into memory; the rows are kept in files. */
import { mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { defaultCacheDir } from '../data/images/packed.ts'
import { clipSizes, framesOf } from '../engine/host/clips.ts'
import { quantiseImages } from '../engine/host/pixels.ts'
import { float32, floats, type HostTensor } from '../engine/host/tensor.ts'
import type { FeatureNetwork } from '../features/network.ts'
import type { ClipSize } from '../features/resize.ts'
import { removeAbandoned, temporarySibling } from '../files/atomic.ts'
import { inspectSafetensors, readRows, writeSafetensorsRows } from '../files/safetensors.ts'
import type { ImageSet } from '../method/programs.ts'
import { meanOverFrames } from '../metrics/clipFeatures.ts'
import { expectRows, type FeatureSet, featureSet } from '../metrics/featureSet.ts'

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

/** What becomes of images or clips on their way to features. */
export interface Seen extends Parts {
  readonly read: ImageSet['read']
  /** Sees their bytes as they pass. */
  readonly look?: ((pixels: Uint8Array, first: number) => Promise<void>) | undefined
}

/** The rows in a file that `writeFeatures` wrote. @throws where there are none, or what is there is damaged */
export const storedFeatures = (path: string): FeatureSet => {
  const header = inspectSafetensors(path)
  const [count, dimension] = header.entries.get('features')?.shape ?? []
  if (dimension === undefined)
    throw new Error(`${path}: has no rows of features; remove it and measure again`)
  return {
    count,
    dimension,
    rows: (from, to) => {
      const rows = floats(readRows(path, header, 'features', { first: from, n: to - from }))
      expectRows(rows, dimension, from)
      return rows
    },
  }
}

/** Features of images or clips, written to a file part by part. */
export const writeFeatures = async (
  path: string,
  network: FeatureNetwork,
  { count, atOnce, signal, read, look }: Seen,
): Promise<FeatureSet> => {
  const { dimension } = network
  mkdirSync(dirname(path), { recursive: true })
  const features = { dtype: 'float32', shape: [count, dimension] } as const
  await writeSafetensorsRows(path, { features }, {}, async (write) => {
    for (let first = 0; first < count; first += atOnce) {
      const { pixels, size } = inBytes(await read(first, Math.min(atOnce, count - first)))
      const rows = await network.features(pixels, size, signal)
      expectRows(rows, dimension, first)
      write('features', first, float32([rows.length / dimension, dimension], rows))
      await look?.(pixels, first)
    }
  })
  return storedFeatures(path)
}

/** What `use` makes of features, which are in a file of the cache meanwhile. */
export const withFeatures = async <T>(
  network: FeatureNetwork,
  seen: Seen,
  use: (set: FeatureSet) => T | Promise<T>,
): Promise<T> => {
  const folder = defaultCacheDir()
  mkdirSync(folder, { recursive: true })
  removeAbandoned(folder)
  const path = temporarySibling(join(folder, 'features.safetensors'))
  try {
    return await use(await writeFeatures(path, network, seen))
  } finally {
    rmSync(path, { force: true })
  }
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
      return Float32Array.from(meanOverFrames(rows, frames).rows(0, rows.count / frames))
    },
    dispose: () => network.dispose(),
  }
}
