/** @file Training steps as cases. */
import { type Config, modelConfig } from '../src/config/schema.ts'
import { partsOf, wholeBatch } from '../src/engine/host/part.ts'
import { scalar, zeros } from '../src/engine/host/tensor.ts'
import type { ModelConfig } from '../src/method/config.ts'
import type { Stage } from '../src/stages/stage.ts'
import { adamWOf, partsPerBatch, stageStep, updateRuleOf } from '../src/stages/stageStep.ts'
import { initialState } from '../src/train/state.ts'
import { compileStep, placeState } from '../src/train/trainStep.ts'
import { stepFeeds } from '../src/train/update.ts'
import { type Case, classes, drawnParams, seed, type Tensors } from './case.ts'

const withoutDropout = (model: ModelConfig): ModelConfig => ({
  ...model,
  decoder: { ...model.decoder, dropout: 0 },
  base: { ...model.base, dropout: 0 },
})

/** Steps on one batch whose losses must agree: the second and third show that the updates agree too. */
const checkedSteps = 3

/** Training steps of a stage on one batch. */
export const trainingCase = (stage: Stage, config: Config): Case => {
  const { batch, lr, emaDecay } = stage.settings(config)
  const { optimizer, clipNorm } = updateRuleOf(config)
  // The peers keep both rates as they are.
  const schedule = { rate: { lr, warmupSteps: 0, finalFraction: 1 }, emaDecay, steps: 1 }
  const scalarsAt = (step: number): Tensors => ({
    ...stepFeeds(optimizer, schedule, step),
    emaDecay: scalar(emaDecay),
  })
  return {
    name: `${stage.name}/${config.name}`,
    title: `${config.name} stage ${stage.flag} step, batch ${batch}`,
    prepare: async (runtime, handOver) => {
      const model = modelConfig(config, classes)
      const parts = partsOf(batch, partsPerBatch(config, stage))
      const feedsAt = stage.madeUpFeeds(model, batch, seed)
      const compile = async (own: ModelConfig) => {
        const { step } = stageStep(config, own, stage)
        return { step, trainStep: await compileStep(runtime, step) }
      }
      // Masks of dropout differ from peer to peer, so losses are compared without.
      const still = await compile(withoutDropout(model))
      const params = drawnParams(stage.objective(model, batch).spec)
      const state = await placeState(runtime, still.step, initialState(still.step.layout, params))
      const loss = zeros([checkedSteps])
      for (let step = 0; step < checkedSteps; step++) {
        const outputs = await still.trainStep.run(
          async (part) => feedsAt(0, parts[part]),
          scalarsAt(step),
          state,
        )
        loss.data[step] = outputs.loss.data[0]
      }
      handOver({
        params,
        inputs: feedsAt(0, wholeBatch(batch)),
        expected: { loss },
        info: { kind: stage.name, config: model, optimizer: { ...adamWOf(config), clipNorm, lr, emaDecay } },
      })
      const dropsOut = JSON.stringify(model) !== JSON.stringify(withoutDropout(model))
      if (dropsOut) await still.trainStep.dispose()
      const { step: traced, trainStep } = dropsOut ? await compile(model) : still
      let taken = checkedSteps
      return {
        gflops: traced.flops / 1e9,
        run: () => {
          const step = taken++
          return trainStep.run(async (part) => feedsAt(step, parts[part]), scalarsAt(step), state)
        },
      }
    },
  }
}
