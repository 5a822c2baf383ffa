/** @file Stage 2 of a run: the frozen encoder's latents, kept on disk, and the base model trained on them. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { batchFlips, batchIndices, batchPlan, toNchw } from '../data/batches.ts'
import type { ImageSource } from '../data/images/source.ts'
import { float32, joined } from '../engine/host/tensor.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import type { Codec } from '../method/codec.ts'
import { createGenerator } from '../method/generator.ts'
import type { ModelConfig } from '../method/networks/config.ts'
import { batchFor } from '../method/programs.ts'
import { imageShape, latentShape } from '../method/stage1.ts'
import { stage2Feeds, stage2Objective } from '../method/stage2.ts'
import { gridPng } from '../report/grid.ts'
import { atTenths } from '../runs/events.ts'
import { type Latents, openLatents } from '../runs/latents.ts'
import { weightsFile } from '../runs/runDirectory.ts'
import { gridLabels } from '../use/labels.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { configGuidance, decoderSampler, latentSampler } from '../use/samplers.ts'
import { meanOf, runStage, type StageContext, type StageResult } from './stage.ts'

/** Samples of each class in the grids made while training. */
const shownPerClass = 8

/** Images read and encoded at a time. */
const readAtOnce = 64

/** Hash of what the latent of an image depends on: networks that encode, their weights, the draw if any. */
const encoderKey = ({ model, config, stage1 }: OpenedRun): string => {
  const hash = createHash('sha256')
  const draw = model.variant.variance === 'learned' ? config.seed : null
  hash.update(JSON.stringify([model.size, model.latent, model.encoder, model.variant, draw]))
  for (const [path, { data }] of Object.entries(stage1())) {
    if (!path.startsWith('encoder.')) continue
    hash.update(path).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return hash.digest('hex')
}

/** Encodes images `first` to `first + n − 1` of a source. */
const encodeImages = async (
  codec: Codec,
  source: ImageSource,
  first: number,
  n: number,
  mirrored: boolean,
  seed: number,
): Promise<Float32Array> => {
  const parts: Float32Array[] = []
  for (let from = first; from < first + n; from += readAtOnce) {
    const indices = Array.from({ length: Math.min(readAtOnce, first + n - from) }, (_, i) => from + i)
    const flips = indices.map(() => mirrored)
    parts.push(await codec.encode(toNchw(await source.read(indices), source.size, flips), seed, from))
  }
  return joined(parts)
}

/** The latents of a run's training images, on disk beside the stage 1 that made them; an exported one stays as it is. */
const trainingLatents = (
  context: StageContext,
  run: OpenedRun,
  codec: Codec,
  source: ImageSource,
): Promise<Latents> => {
  const { config, listen } = context
  const isExported = existsSync(join(run.stage1Directory, weightsFile))
  const { count } = source
  let encoded = false
  // A small set is one shard: for it the note of the start is enough.
  const tellProgress = atTenths((percent) => {
    if (encoded && percent > 0 && percent < 100)
      listen({ event: 'note', text: `stage2: encoding ${count} images, ${percent}%` })
  })
  return openLatents({
    dir: join(isExported ? context.dir : run.stage1Directory, 'latents'),
    key: `${encoderKey(run)} ${source.fingerprint}`,
    count,
    shape: latentShape(run.model, 1).slice(1),
    mirrored: config.data.flip,
    encode: (first, n, mirrored) => {
      if (!encoded) listen({ event: 'note', text: `stage2: encoding ${count} images` })
      encoded = true
      return encodeImages(codec, source, first, n, mirrored, config.seed)
    },
    onProgress: (done) => tellProgress(done, count),
  })
}

/** Trains the base model on the run's stage 1. @throws when stage 1 was never saved. */
export const runStage2 = async (
  context: StageContext,
  model: ModelConfig,
  source: ImageSource,
): Promise<StageResult> => {
  const { config, runtime, dir } = context
  const { stage2 } = config.train
  const { flip, balance } = config.data
  const plan = batchPlan(source, { seed: config.seed + 1, balance, flip })
  const run = openRun(dir, runtime)
  const codec = run.codec(batchFor(source.count, model.size))
  const latents = await trainingLatents(context, run, codec, source)
  try {
    return await runStage(context, {
      objective: stage2Objective(model, stage2.batch),
      seed: config.seed,
      steps: stage2.steps,
      batch: stage2.batch,
      lr: stage2.lr,
      emaDecay: stage2.emaDecay,
      trainedOn: encoderKey(run),
      feeds: async (step) => {
        const indices = batchIndices(plan, step, stage2.batch)
        const z = latents.read(indices, batchFlips(plan, step, stage2.batch))
        const labels = Int32Array.from(indices, (index) => source.label(index))
        return stage2Feeds(model, z, labels, config.seed, step)
      },
      figures: (outputs) => ({ baseNats: meanOf(outputs.baseNats!) }),
      warn: () => null,
      inspect: async (weights, step) => {
        const labels = gridLabels(run, shownPerClass)
        const generator = createGenerator(runtime, model, weights, batchFor(labels.length, model.size))
        const z0 = await generator.generate(
          labels,
          config.seed,
          latentSampler(config),
          configGuidance(config),
        )
        await generator.dispose()
        const images = await codec.decode(z0, config.seed, decoderSampler(config))
        const path = join(dir, 'samples', `samples-${String(step).padStart(9, '0')}.png`)
        const grid = float32(imageShape(model, labels.length), images)
        writeFileAtomic(path, await gridPng(grid, shownPerClass, { scale: 2 }))
        return {}
      },
    })
  } finally {
    latents.close()
    await codec.dispose()
  }
}
