/** @file Whether a model in use fits a device, told by its shapes before its weights are there. */
import { type Config, modelConfig } from '../config/schema.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
import type { Program } from '../engine/ir/program.ts'
import { type Networks, specOf } from '../engine/nn/network.ts'
import { flattenSpec } from '../engine/nn/params.ts'
import { expectFits } from '../engine/runtime/limits.ts'
import type { DeviceLimits } from '../engine/runtime/runtime.ts'
import { autoencoderNetworks } from '../method/autoencoder.ts'
import { conditionedBase } from '../method/baseModel.ts'
import { tracedDecoderStep, tracedEncoder } from '../method/codec.ts'
import { tracedBaseStep, tracedPriorStep, type Untold } from '../method/generator.ts'
import { partsOfVariant } from '../method/variants.ts'
import type { Weights } from '../train/frozen.ts'

/** Weights without their numbers, which a trace does not read. */
const shapesOf = (networks: Networks): Weights =>
  Object.fromEntries(
    flattenSpec(specOf(networks)).map(({ path, spec: { shape } }): [string, HostTensor] => [
      path,
      { dtype: 'float32', shape, data: new Float32Array(0) },
    ]),
  )

/** What encodes, decodes and generates, for batches of B. */
const programsInUse = (config: Config, classes: number, B: number): Program[] => {
  const model = modelConfig(config, classes)
  const stage1 = shapesOf(autoencoderNetworks(model))
  const base = shapesOf({ base: conditionedBase(model) })
  const guidedBy: readonly (readonly Untold[])[] = [[], ['conditions']]
  const codec = [tracedEncoder(model, stage1, B), tracedDecoderStep(model, stage1, B)]
  const generator =
    config.sampler.generator === 'prior'
      ? [tracedPriorStep(model, stage1, B)]
      : guidedBy.map((untold) => tracedBaseStep(model, base, B, untold))
  const { isLearned } = partsOfVariant(config.variant).space
  return [...(isLearned ? codec : []), ...generator].map(({ program }) => program)
}

/**
 * Checks that a device takes the tensors of a model.
 * @param limits of the runtime; null where only memory limits it
 * @param classes number of classes of its data
 * @param B examples in a batch
 * @throws one sentence naming the largest tensor, the limit and what to do
 */
export const expectModelFits = (
  limits: DeviceLimits | null,
  config: Config,
  classes: number,
  B: number,
): void => {
  if (limits === null) return
  for (const program of programsInUse(config, classes, B)) expectFits(program, limits)
}
