/** @file Stage 2: the base model trained on the frozen encoder's latents: of images kept on disk, of clips encoded as they come. */

import { join } from 'node:path'
import { batchPlan, type PlannedExample, plannedExamples } from '../data/batches.ts'
import { examplesOf, type HostTensor } from '../engine/host/tensor.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { baseFeeds, baseObjective } from '../method/baseModel.ts'
import type { Codec } from '../method/codec.ts'
import { imageOf, latentOf } from '../method/config.ts'
import { type Draw, firstExample, numberedNoise } from '../method/diffusion/draws.ts'
import { createGenerator } from '../method/generator.ts'
import { drawnGivenCounts, type GivenTensors, givenLatentOf, nothingGiven } from '../method/given.ts'
import { batchShape } from '../method/networks/shapes.ts'
import { batchFor } from '../method/programs.ts'
import { gridPng } from '../report/grid.ts'
import { runFolders } from '../runs/files.ts'
import type { Weights } from '../train/frozen.ts'
import { gridFacts, samplesPerRow } from '../use/facts.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { configGuidance, decoderSampler, latentSampler } from '../use/samplers.ts'
import { encoderKey } from './encoderKey.ts'
import { stepImages } from './images.ts'
import { trainingLatents } from './latents.ts'
import { meanOf, type OpenStage, type Stage, type StageContext } from './stage.ts'

/** Draws samples of every row. */
const sampleShown = async (
  { config, model, leaving, dir }: StageContext,
  { run, codec }: { readonly run: OpenedRun; readonly codec: Codec },
  weights: Weights,
  step: number,
): Promise<void> => {
  const facts = gridFacts(run, samplesPerRow(model))
  const generator = createGenerator(leaving, model, weights, batchFor(facts.length, imageOf(model)))
  const z0 = await generator.generate({
    facts,
    seed: config.seed,
    sampler: latentSampler(config),
    guidance: configGuidance(config),
  })
  await generator.dispose()
  const images = await codec.decode(z0, config.seed, decoderSampler(config))
  const path = join(dir, runFolders.samples, `samples-${String(step).padStart(9, '0')}.png`)
  writeFileAtomic(path, await gridPng(images, samplesPerRow(model), { scale: 2 }))
}

/** Clean latents of a part of a step's batch, and of clips what is given of them. */
interface StepLatents {
  read(
    draw: Draw,
    examples: readonly PlannedExample[],
  ): Promise<{ readonly z: HostTensor } & Pick<GivenTensors, 'givenZ' | 'givenMask'>>
  close(): Promise<void>
}

/** Those of images, all encoded before the first step and kept on disk. */
const keptLatents = async (context: StageContext, run: OpenedRun, codec: Codec): Promise<StepLatents> => {
  const latents = await trainingLatents(context, 'stage2', run, codec)
  return {
    read: async (_, examples) => ({ z: latents.read(examples) }),
    close: async () => latents.close(),
  }
}

/** Those of clips, encoded as they come: which frames are given of one changes from step to step. */
const encodedClips = (context: StageContext, codec: Codec): StepLatents => {
  const { config, model } = context
  const clips = stepImages(context, config.train.stage2.batch, config.seed + 1)
  return {
    read: async (draw) => {
      const x = examplesOf(await clips.read(draw.step), draw.part.first, draw.part.count)
      const given = await codec.give(x, drawnGivenCounts(model, draw))
      const z = await codec.encode(x, config.seed, firstExample(draw))
      return { z, ...givenLatentOf(given) }
    },
    close: () => clips.close(),
  }
}

const open = async (context: StageContext): Promise<OpenStage> => {
  const { config, model, leaving, dir, source } = context
  const { flip, balance } = config.data
  const plan = batchPlan(source, { seed: config.seed + 1, balance, flip })
  const run = openRun(dir, leaving, context.warn)
  const together = model.video === undefined ? source.count : config.train.stage2.batch
  const codec = run.codec(batchFor(together, imageOf(model)))
  const latents =
    model.video === undefined ? await keptLatents(context, run, codec) : encodedClips(context, codec)
  return {
    trainedOn: encoderKey(run),
    feeds: async (step, part) => {
      const examples = plannedExamples(plan, step, part)
      const facts = examples.map(({ index, mirrored }) => ({ label: source.label(index), mirrored }))
      const draw: Draw = { seed: config.seed, purpose: 'training', step, part }
      const { z, ...given } = await latents.read(draw, examples)
      return { ...baseFeeds(model, z, facts, draw), ...given }
    },
    metrics: ({ baseNats }) => ({ baseNats: meanOf(baseNats) }),
    warning: () => null,
    inspect: async (weights, step) => {
      await sampleShown(context, { run, codec }, weights, step)
      return {}
    },
    close: async () => {
      await latents.close()
      await codec.dispose()
    },
  }
}

/** Stage 2. */
export const baseModel: Stage = {
  name: 'stage2',
  flag: '2',
  networks: ['base'],
  applies: ({ sampler }) => sampler.generator === 'base',
  // A student's run takes its base model from its teacher's.
  trains: ({ sampler, student }) => sampler.generator === 'base' && student === undefined,
  settings: ({ train: { stage2 } }) => ({
    steps: stage2.steps,
    batch: stage2.batch,
    lr: stage2.lr,
    emaDecay: stage2.emaDecay,
  }),
  objective: baseObjective,
  madeUpFeeds: (model, batch, seed) => {
    const z = numberedNoise(batchShape(latentOf(model), batch), 0, 'data', 0)
    const facts = Array.from({ length: batch }, (_, i) => ({
      label: model.classes === 0 ? -1 : i % model.classes,
    }))
    return (step, part) => {
      const [own, ownFacts] = [
        examplesOf(z, part.first, part.count),
        facts.slice(part.first, part.first + part.count),
      ]
      const draw: Draw = { seed, purpose: 'training', step, part }
      return { ...baseFeeds(model, own, ownFacts, draw), ...givenLatentOf(nothingGiven(model, part.count)) }
    }
  },
  curves: [
    { title: 'Base model loss', metric: 'loss', unit: 'nats per latent element' },
    { title: 'Base model gradient norm', metric: 'gradNorm', unit: 'norm', logY: true },
  ],
  open,
}
