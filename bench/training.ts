/** @file Training steps as cases. */
import { type Config, modelConfig } from '../src/config/schema.ts'
import { type HostTensor, scalar, zeros } from '../src/engine/host/tensor.ts'

import type { ModelConfig } from '../src/method/config.ts'
import { optimizerOf } from '../src/stages/runStage.ts'

import type { Stage } from '../src/stages/stage.ts'
import { initialState, slabsOf, traceTrainStep } from '../src/train/step.ts'
import { type Case, classes, drawnParams, gflopsOf, seed, type Tensors } from './case.ts'

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
  const optimizer = optimizerOf(config)
  const scalarsAt = (step: number): Tensors => ({
    lr: scalar(lr),
    correction1: scalar(1 / (1 - optimizer.beta1 ** (step + 1))),
    correction2: scalar(1 / (1 - optimizer.beta2 ** (step + 1))),
    emaDecay: scalar(emaDecay),
  })
  return {
    name: `${stage.name}/${config.name}`,
    title: `${config.name} stage ${stage.flag} step, batch ${batch}`,
    prepare: async (runtime, handOver) => {
      const model = modelConfig(config, classes)
      const { spec } = stage.objective(model, batch)
      const params = drawnParams(spec)
      const feedsAt = stage.madeUpFeeds(model, batch, seed)
      const inputs = feedsAt(0)
      const compile = async (own: ModelConfig) => {
        const { program, updates } = traceTrainStep(stage.objective(own, batch), optimizer)
        return {
          executable: await runtime.compile(program, { updates }),
          gflops: 3 * gflopsOf({ loss: program.outputs.loss! }),
        }
      }
      const state = await runtime.place(initialState(slabsOf(spec), params))
      // Masks of dropout differ from peer to peer, so losses are compared without.
      const still = await compile(withoutDropout(model))
      const losses: HostTensor[] = []
      for (let step = 0; step < checkedSteps; step++) {
        losses.push((await still.executable.run({ ...inputs, ...scalarsAt(step) }, state)).loss!)
      }
      const loss = zeros([checkedSteps])
      losses.forEach((l, i) => {
        loss.data[i] = l.data[0] as number
      })
      handOver({
        params,
        inputs,
        expected: { loss },
        info: { kind: stage.name, config: model, optimizer: { ...optimizer, lr, emaDecay } },
      })
      const dropsOut = JSON.stringify(model) !== JSON.stringify(withoutDropout(model))
      if (dropsOut) await still.executable.dispose()
      const { executable, gflops } = dropsOut ? await compile(model) : still
      let step = checkedSteps
      return {
        gflops,
        run: () => executable.run({ ...feedsAt(step), ...scalarsAt(step++) }, state),
      }
    },
  }
}
