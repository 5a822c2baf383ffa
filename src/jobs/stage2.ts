/** @file Stage 2 of a run: the frozen encoder's latents and the base model trained on them, samples at intervals. */
import { join } from 'node:path'
import {
  type BatchPlan,
  batchFlips,
  batchIndices,
  batchPlan,
  openBatchReader,
  toNchw,
} from '../data/batches.ts'
import type { ImageSource } from '../data/source.ts'
import { float32 } from '../host/tensor.ts'
import type { ModelConfig } from '../models/config.ts'
import type { Codec } from '../pipeline/codec.ts'
import { createGenerator } from '../pipeline/generator.ts'
import { batchFor } from '../pipeline/programs.ts'
import { imageShape, latentShape } from '../pipeline/stage1.ts'
import { stage2Feeds, stage2Objective } from '../pipeline/stage2.ts'
import { writeFileAtomic } from '../run/atomic.ts'
import { gridPng } from '../run/picture.ts'
import { openRun } from './openRun.ts'
import { meanOf, runStage, type StageContext, type StageResult } from './stage.ts'
import { configGuidance, decoderSampler, latentSampler } from './use.ts'

/** Latents of a step: [B, c, h, w] and the class of each, −1 without classes. */
interface LatentBatch {
  readonly latents: Float32Array
  readonly labels: Int32Array
}

/** Delivers the latents of any step; a pure function of it. */
interface LatentReader {
  next(step: number): Promise<LatentBatch>
  close(): Promise<void>
}

/** Both mirrors of all latents are kept in memory up to this size; larger data is encoded as it is drawn. */
const cachedLatentBytes = 2 ** 30
/** Samples of each class in the grids made while training. */
const shownPerClass = 8

/** Pictures read and encoded at a time. */
const readAtOnce = 64

const encodeAll = async (codec: Codec, source: ImageSource, mirrored: boolean): Promise<Float32Array> => {
  const parts: Float32Array[] = []
  for (let first = 0; first < source.count; first += readAtOnce) {
    const indices = Array.from({ length: Math.min(readAtOnce, source.count - first) }, (_, i) => first + i)
    const flips = indices.map(() => mirrored)
    parts.push(await codec.encode(toNchw(await source.read(indices), source.size, flips)))
  }
  const each = parts[0]!.length / Math.min(readAtOnce, source.count)
  const all = new Float32Array(each * source.count)
  for (const [i, part] of parts.entries()) all.set(part, i * readAtOnce * each)
  return all
}

/** Encodes every picture, and its mirror where the plan flips, once. */
const cachedLatents = async (
  codec: Codec,
  source: ImageSource,
  plan: BatchPlan,
  batch: number,
  flip: boolean,
): Promise<LatentReader> => {
  const plain = await encodeAll(codec, source, false)
  const mirrored = flip ? await encodeAll(codec, source, true) : plain
  const each = plain.length / source.count
  return {
    next: async (step) => {
      const indices = batchIndices(plan, step, batch)
      const flips = batchFlips(plan, step, batch)
      const latents = new Float32Array(batch * each)
      for (const [i, index] of indices.entries()) {
        latents.set((flips[i] ? mirrored : plain).subarray(index * each, (index + 1) * each), i * each)
      }
      return { latents, labels: Int32Array.from(indices, (index) => source.label(index)) }
    },
    close: async () => undefined,
  }
}

/** Encodes each batch when it is drawn. */
const streamedLatents = (codec: Codec, source: ImageSource, plan: BatchPlan, batch: number): LatentReader => {
  const reader = openBatchReader({ source, plan, batch })
  return {
    next: async (step) => {
      const { images, labels } = await reader.next(step)
      return { latents: await codec.encode(images), labels }
    },
    close: () => reader.close(),
  }
}

/** Trains the base model on the run's stage 1. @throws when stage 1 was never saved. */
export const runStage2 = async (
  context: StageContext,
  model: ModelConfig,
  source: ImageSource,
): Promise<StageResult> => {
  const { config, runtime, dir, listen } = context
  const { stage2 } = config.train
  const { flip, balance } = config.data
  const rows = Math.max(1, model.classes)
  const plan = batchPlan(source, { seed: config.seed + 1, balance, flip })
  const codec = await openRun(dir, runtime).codec(batchFor(source.count, model.size))
  const bytes = 2 * 4 * source.count * latentShape(model, 1).reduce((n, d) => n * d, 1)
  const cached = bytes <= cachedLatentBytes
  listen({
    event: 'note',
    text: cached ? `stage2: encoding ${source.count} pictures` : 'stage2: encoding as it goes',
  })
  const reader = cached
    ? await cachedLatents(codec, source, plan, stage2.batch, flip)
    : streamedLatents(codec, source, plan, stage2.batch)
  try {
    return await runStage(context, {
      objective: stage2Objective(model, stage2.batch),
      seed: config.seed,
      steps: stage2.steps,
      batch: stage2.batch,
      lr: stage2.lr,
      emaDecay: stage2.emaDecay,
      feeds: async (step) => {
        const { latents, labels } = await reader.next(step)
        return stage2Feeds(model, latents, labels, config.seed, step)
      },
      figures: (outputs) => ({ baseNats: meanOf(outputs.baseNats!) }),
      warn: () => null,
      inspect: async (weights, step) => {
        const labels = Int32Array.from({ length: rows * shownPerClass }, (_, i) =>
          Math.floor(i / shownPerClass),
        )
        const generator = await createGenerator(runtime, model, weights, batchFor(labels.length, model.size))
        const z0 = await generator.generate(
          labels,
          config.seed,
          latentSampler(config),
          configGuidance(config),
        )
        await generator.dispose()
        const pictures = await codec.decode(z0, config.seed, decoderSampler(config))
        const path = join(dir, 'samples', `samples-${String(step).padStart(9, '0')}.png`)
        const grid = float32(imageShape(model, labels.length), pictures)
        writeFileAtomic(path, await gridPng(grid, shownPerClass, { scale: 2 }))
        return {}
      },
    })
  } finally {
    await reader.close()
    await codec.dispose()
  }
}
