/** @file The latents that stage 2 trains on, step by step: kept on disk, or of clips encoded as they come. */
import type { PlannedExample } from '../data/batches.ts'
import { float32, floats, type HostTensor, type Shape, sizeOf } from '../engine/host/tensor.ts'
import type { Codec } from '../method/codec.ts'
import { type Draw, firstExample } from '../method/diffusion/draws.ts'
import { drawnGivenCounts, type GivenTensors, givenLatentOf, givenMaskOf } from '../method/given.ts'
import type { OpenedRun } from '../use/openRun.ts'
import { stepImages } from './images.ts'
import { keptGivenCounts, type LatentsContext, trainingLatents } from './latents.ts'

/** Clean latents of a part of a step's batch, and of clips what is given of them. */
export interface StepLatents {
  read(
    draw: Draw,
    examples: readonly PlannedExample[],
  ): Promise<{ readonly z: HostTensor } & Pick<GivenTensors, 'givenZ' | 'givenMask'>>
  close(): Promise<void>
}

/** Number `at` of the rows [n, k, …] of each example: [n, …]. */
const takeOf = (rows: HostTensor, at: number): HostTensor => {
  const [n, k, ...rest] = rows.shape as [number, number, ...Shape]
  const [each, from] = [sizeOf(rest), floats(rows)]
  const out = new Float32Array(n * each)
  for (let i = 0; i < n; i++) out.set(from.subarray((i * k + at) * each, (i * k + at + 1) * each), i * each)
  return float32([n, ...rest], out)
}

const kept = async (context: LatentsContext, run: OpenedRun, codec: Codec): Promise<StepLatents> => {
  const { model } = context
  const latents = await trainingLatents(context, 'stage2', run, codec)
  return {
    read: async (_, examples) => {
      const rows = latents.read(examples)
      if (model.video === undefined) return { z: rows }
      const givenMask = givenMaskOf(keptGivenCounts(context, examples), model.frames)
      return { z: takeOf(rows, 0), givenZ: takeOf(rows, 1), givenMask }
    },
    close: async () => latents.close(),
  }
}

/** Those of clips, in another window and with another number of given frames whenever they come. */
const encoded = (context: LatentsContext, codec: Codec): StepLatents => {
  const { config, model } = context
  const clips = stepImages(context, config.train.stage2.batch, config.seed + 1)
  return {
    read: async (draw) => {
      const x = await clips.read(draw.step, draw.part)
      const given = await codec.give(x, drawnGivenCounts(model, draw, config.train.stage2.givenShare))
      const z = await codec.encode(x, config.seed, firstExample(draw))
      return { z, ...givenLatentOf(given) }
    },
    close: () => clips.close(),
  }
}

/** Whether latents are encoded before the first step: of images always, of clips where the configuration says so. */
export const keepsLatents = ({ config, model }: Pick<LatentsContext, 'config' | 'model'>): boolean =>
  model.video === undefined || config.train.stage2.latents === 'kept'

/** Opens the latents of a run, encoding those that are kept. */
export const openStepLatents = (
  context: LatentsContext,
  run: OpenedRun,
  codec: Codec,
): Promise<StepLatents> | StepLatents =>
  keepsLatents(context) ? kept(context, run, codec) : encoded(context, codec)
