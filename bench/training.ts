/** @file Training steps as cases. */
import { type Config, modelConfig } from '../src/config/schema.ts'
import { type HostTensor, scalar, zeros } from '../src/engine/host/tensor.ts'

import type { ModelConfig } from '../src/method/config.ts'
import { optimizerOf } from '../src/stages/runStage.ts'

import type { Objective } from '../src/train/objective.ts'
import { initialState, slabsOf, traceTrainStep } from '../src/train/step.ts'
import { type Case, classes, drawnImages, drawnParams, gflopsOf, normal, seed, type Tensors } from './case.ts'

interface Training {
  readonly batch: number
  readonly lr: number
  readonly emaDecay: number
  objective(model: ModelConfig): Objective
  /** What is fed at each step; images and latents stay the same. */
  feeds(model: ModelConfig): (step: number) => Tensors
}

const stage1 = ({ train }: Config): Training => ({
  batch: train.batch,
  lr: train.lr,
  emaDecay: train.stage1.emaDecay,
  objective: (model) => stage1Objective(model, train.batch),
  feeds: (model) => {
    const images = drawnImages(model, train.batch)
    return (step) => stage1Feeds(model, images, seed, step, 1)
  },
})

const stage2 = ({ train: { stage2 } }: Config): Training => ({
  batch: stage2.batch,
  lr: stage2.lr,
  emaDecay: stage2.emaDecay,
  objective: (model) => stage2Objective(model, stage2.batch),
  feeds: (model) => {
    const latents = normal(latentShape(model, stage2.batch), 'latents').data as Float32Array
    const labels = Int32Array.from({ length: stage2.batch }, (_, i) => i % classes)
    return (step) => stage2Feeds(model, latents, labels, seed, step)
  },
})

const withoutDropout = (model: ModelConfig): ModelConfig => ({
  ...model,
  decoder: { ...model.decoder, dropout: 0 },
  base: { ...model.base, dropout: 0 },
})

/** Steps on one batch whose losses must agree: the second and third show that the updates agree too. */
const checkedSteps = 3

export const trainingCase = (kind: 'stage1' | 'stage2', config: Config): Case => {
  const training = (kind === 'stage1' ? stage1 : stage2)(config)
  const optimizer = optimizerOf(config)
  const scalarsAt = (step: number): Tensors => ({
    lr: scalar(training.lr),
    correction1: scalar(1 / (1 - optimizer.beta1 ** (step + 1))),
    correction2: scalar(1 / (1 - optimizer.beta2 ** (step + 1))),
    emaDecay: scalar(training.emaDecay),
  })
  return {
    name: `${kind}/${config.name}`,
    title: `${config.name} ${kind === 'stage1' ? 'stage 1' : 'stage 2'} step, batch ${training.batch}`,
    prepare: async (runtime, handOver) => {
      const model = modelConfig(config, classes)
      const { spec } = training.objective(model)
      const params = drawnParams(spec)
      const feedsAt = training.feeds(model)
      const inputs = feedsAt(0)
      const compile = async (own: ModelConfig) => {
        const { program, updates } = traceTrainStep(training.objective(own), optimizer)
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
      const { lr, emaDecay } = training
      handOver({
        params,
        inputs,
        expected: { loss },
        info: { kind, config: model, optimizer: { ...optimizer, lr, emaDecay } },
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
