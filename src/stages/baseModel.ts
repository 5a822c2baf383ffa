/** @file Stage 2: the base model trained on the frozen encoder's latents. */

import { join } from 'node:path'
import { plannedExamples } from '../data/batches.ts'
import { examplesOf } from '../engine/host/tensor.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { baseFeeds, baseObjective } from '../method/baseModel.ts'
import type { Codec } from '../method/codec.ts'
import { imageOf, latentOf } from '../method/config.ts'
import { type Draw, numberedNoise } from '../method/diffusion/draws.ts'
import { createGenerator } from '../method/generator.ts'
import { givenLatentOf, nothingGiven, withheldGiven } from '../method/given.ts'
import { batchShape } from '../method/networks/shapes.ts'
import { batchFor } from '../method/programs.ts'
import { configGuidance, decoderSampler, latentSampler } from '../model/samplers.ts'
import { gridPng } from '../report/grid.ts'
import { runFolders } from '../runs/files.ts'
import type { Weights } from '../train/frozen.ts'
import { gridFacts, samplesPerRow } from '../use/facts.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { encoderKey } from './encoderKey.ts'
import { trainingPlan } from './images.ts'
import { meanOf, type OpenStage, type Stage, type StageContext } from './stage.ts'
import { keepsLatents, openStepLatents } from './stepLatents.ts'

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

const open = async (context: StageContext): Promise<OpenStage> => {
  const { config, model, leaving, dir, source } = context
  const plan = trainingPlan(context, config.seed + 1)
  const run = openRun(dir, leaving, context.warn)
  const together = keepsLatents(context) ? source.count : config.train.stage2.batch
  const codec = run.codec(batchFor(together, imageOf(model)))
  const latents = await openStepLatents(context, run, codec)
  return {
    trainedOn: encoderKey(run),
    feeds: async (step, part) => {
      const examples = plannedExamples(plan, step, part)
      const facts = examples.map(({ index, mirrored }) => ({ label: source.label(index), mirrored }))
      const draw: Draw = { seed: config.seed, purpose: 'training', step, part }
      const { z, ...given } = await latents.read(draw, examples)
      const shown = withheldGiven(given, model.base.givenDropout ?? 0, draw)
      return { ...baseFeeds(model, z, facts, draw), ...shown }
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
