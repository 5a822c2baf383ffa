/** @file The latents of training images and clips, encoded once for every stage that trains on them. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { type PlannedExample, plannedExample, readExamples } from '../data/batches.ts'
import { examplesOf, float32, floats, type HostTensor, type Shape, stacked } from '../engine/host/tensor.ts'
import type { Codec } from '../method/codec.ts'
import { latentOf, type ModelConfig } from '../method/config.ts'
import { drawnGivenCounts } from '../method/given.ts'
import { batchShape } from '../method/networks/shapes.ts'
import { atTenths } from '../runs/events.ts'
import { runFolders } from '../runs/files.ts'
import { type Latents, openLatents } from '../runs/latents.ts'
import { weightsFile } from '../runs/runDirectory.ts'
import type { OpenedRun } from '../use/openRun.ts'
import { encoderKey } from './encoderKey.ts'
import { trainingPlan } from './images.ts'
import type { StageContext } from './stage.ts'

/** Images read and encoded at a time. */
const readAtOnce = 64

/** What of a run's data and configuration its latents depend on, and where they are kept. */
export type LatentsContext = Pick<StageContext, 'config' | 'model' | 'dir' | 'source' | 'listen' | 'together'>

/** How many frames are given of clips whose latents are kept: always as many of one, and as many of its mirror image. */
export const keptGivenCounts = (
  { config, model, source }: Pick<LatentsContext, 'config' | 'model' | 'source'>,
  examples: readonly Pick<PlannedExample, 'index' | 'mirrored'>[],
): number[] =>
  examples.flatMap(({ index, mirrored }) =>
    drawnGivenCounts(
      model,
      {
        seed: config.seed,
        purpose: 'training',
        step: Number(mirrored),
        part: { first: index, count: 1, of: source.count },
      },
      config.train.stage2.givenShare,
    ),
  )

/** What is kept of an image, its latent [c, h, w]; of a clip its latent and that of what is given of it, [2, c, T, h, w]. */
const keptShape = (model: ModelConfig): Shape => {
  const shape = batchShape(latentOf(model), 1).slice(1)
  return model.video === undefined ? shape : [2, ...shape]
}

/** What windows and given frames of kept clips depend on; nothing for images. */
const drawnOfClips = ({ seed, video, train }: Config): (string | number)[] =>
  video === undefined ? [] : [seed, train.stage2.givenShare ?? video.givenShare]

/** Encodes what is kept of examples, [n, …]. */
const encodeExamples = async (
  context: LatentsContext,
  codec: Codec,
  examples: readonly PlannedExample[],
): Promise<HostTensor> => {
  const { config, model, source } = context
  const x = await readExamples(source, examples)
  const z = await codec.encode(x, config.seed, examples[0].index)
  if (model.video === undefined) return z
  const { givenZ } = await codec.give(x, keptGivenCounts(context, examples))
  const pairs = examples.flatMap((_, n) => [examplesOf(z, n, 1), examplesOf(givenZ!, n, 1)])
  return float32([examples.length, ...keptShape(model)], floats(stacked(pairs)))
}

/** Encodes images or clips `first` to `first + n − 1`. */
const encodePart = async (
  context: LatentsContext,
  codec: Codec,
  part: { readonly first: number; readonly n: number; readonly mirrored: boolean },
): Promise<HostTensor> => {
  const { first, n, mirrored } = part
  const { count } = context.source
  const plan = trainingPlan(context, context.config.seed)
  const parts: HostTensor[] = []
  for (let from = first; from < first + n; from += readAtOnce) {
    const examples = Array.from({ length: Math.min(readAtOnce, first + n - from) }, (_, i) => {
      const index = from + i
      return plannedExample(plan, mirrored ? count + index : index, { index, mirrored })
    })
    parts.push(await encodeExamples(context, codec, examples))
  }
  return stacked(parts)
}

/**
 * The latents of a run's training images, on disk beside the stage 1 that made them; an exported one stays as it is. A clip is
 * kept in one window, with one number of given frames for it and one for its mirror image.
 * @param stage that asks for them
 */
export const trainingLatents = (
  context: LatentsContext,
  stage: string,
  run: OpenedRun,
  codec: Codec,
): Promise<Latents> => {
  const { config, model, dir, source, listen, together } = context
  const isExported = existsSync(join(run.stage1Directory, weightsFile))
  const { count } = source
  const what = source.frames === undefined ? 'images' : 'clips'
  let encoded = false
  // A small set is one shard: for it the note of the start is enough.
  const tellProgress = atTenths((percent) => {
    if (encoded && percent > 0 && percent < 100)
      listen({ event: 'note', text: `${stage}: encoding ${count} ${what}, ${percent}%` })
  })
  return openLatents({
    dir: join(isExported ? dir : run.stage1Directory, runFolders.latents),
    key: [encoderKey(run), source.fingerprint, ...drawnOfClips(config)].join(' '),
    count,
    shape: keptShape(model),
    mirrored: config.data.flip,
    together,
    encode: (first, n, mirrored) => {
      if (!encoded) listen({ event: 'note', text: `${stage}: encoding ${count} ${what}` })
      encoded = true
      return encodePart(context, codec, { first, n, mirrored })
    },
    onProgress: (done) => tellProgress(done, count),
  })
}
