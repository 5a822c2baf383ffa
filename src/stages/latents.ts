/** @file The latents of training images, encoded once for every stage that trains on them. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { toNchw } from '../data/batches.ts'
import type { ImageSource } from '../data/images/source.ts'
import { type HostTensor, stacked } from '../engine/host/tensor.ts'
import type { Codec } from '../method/codec.ts'
import { latentOf } from '../method/config.ts'
import { batchShape } from '../method/networks/shapes.ts'
import { atTenths } from '../runs/events.ts'
import { runFolders } from '../runs/files.ts'
import { type Latents, openLatents } from '../runs/latents.ts'
import { weightsFile } from '../runs/runDirectory.ts'
import type { OpenedRun } from '../use/openRun.ts'
import { encoderKey } from './encoderKey.ts'
import type { StageContext } from './stage.ts'

/** Images read and encoded at a time. */
const readAtOnce = 64

/** Encodes images `first` to `first + n − 1` of a source. */
const encodeImages = async (
  codec: Codec,
  source: ImageSource,
  part: { readonly first: number; readonly n: number; readonly mirrored: boolean },
  seed: number,
): Promise<HostTensor> => {
  const { first, n, mirrored } = part
  const parts: HostTensor[] = []
  for (let from = first; from < first + n; from += readAtOnce) {
    const indices = Array.from({ length: Math.min(readAtOnce, first + n - from) }, (_, i) => from + i)
    const flips = indices.map(() => mirrored)
    parts.push(await codec.encode(toNchw(await source.read(indices), source, flips), seed, from))
  }
  return stacked(parts)
}

/**
 * The latents of a run's training images, on disk beside the stage 1 that made them; an exported one stays as it is.
 * @param stage that asks for them
 */
export const trainingLatents = (
  { config, dir, source, listen }: StageContext,
  stage: string,
  run: OpenedRun,
  codec: Codec,
): Promise<Latents> => {
  const isExported = existsSync(join(run.stage1Directory, weightsFile))
  const { count } = source
  let encoded = false
  // A small set is one shard: for it the note of the start is enough.
  const tellProgress = atTenths((percent) => {
    if (encoded && percent > 0 && percent < 100)
      listen({ event: 'note', text: `${stage}: encoding ${count} images, ${percent}%` })
  })
  return openLatents({
    dir: join(isExported ? dir : run.stage1Directory, runFolders.latents),
    key: `${encoderKey(run)} ${source.fingerprint}`,
    count,
    shape: batchShape(latentOf(run.model), 1).slice(1),
    mirrored: config.data.flip,
    encode: (first, n, mirrored) => {
      if (!encoded) listen({ event: 'note', text: `${stage}: encoding ${count} images` })
      encoded = true
      return encodeImages(codec, source, { first, n, mirrored }, config.seed)
    },
    onProgress: (done) => tellProgress(done, count),
  })
}
