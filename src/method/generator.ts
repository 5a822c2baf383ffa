/** @file The base model in use: labels to noisy latents, by ancestral or DDIM steps that stop at λ(0). */

import { floats, int32, scalar } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { traceFrozen, type Weights } from '../train/step.ts'
import { runChain, stepSpecs } from './chain.ts'
import { type Guidance, guidanceAt, type SamplerConfig, samplerSteps } from './diffusion/sampler.ts'
import { nullLabel } from './networks/base.ts'
import type { ModelConfig } from './networks/config.ts'
import { compiledOnUse, inBatches } from './programs.ts'
import { latentShape } from './stage1.ts'
import { baseSchedule } from './stage2.ts'
import { baseStep, guidedBaseStep, priorStep, type StepInputs } from './unifiedLatents.ts'

/** Which network generates: the base model of stage 2, or the prior of stage 1 (Appendix B; it knows no classes). */
export type GeneratorKind = 'base' | 'prior'

/** A model of latents ready to run. */
export interface Generator {
  /**
   * One class per sample (the null label for none) → noisy latents z_0 [N, c, h, w], noise from (seed, example). Samples
   * are numbered from `first`, 0 when absent.
   */
  generate(
    labels: Int32Array,
    seed: number,
    sampler: SamplerConfig,
    guidance: Guidance,
    first?: number,
  ): Promise<Float32Array>
  dispose(): Promise<void>
}

/**
 * The generator for batches of B. Its steps are compiled when first used: guided, at twice the cost, only where guidance
 * is not 1.
 * @param weights the averaged weights of stage 2, or of stage 1 for its prior
 */
export const createGenerator = (
  runtime: Runtime,
  config: ModelConfig,
  weights: Weights,
  B: number,
  kind: GeneratorKind = 'base',
): Generator => {
  const shape = latentShape(config, B)
  const labelled = { labels: { shape: [B], dtype: 'int32' as const }, ...stepSpecs(shape) }
  const guiding = { nullLabels: { shape: [B], dtype: 'int32' as const }, guidance: { shape: [] } }
  const plain = compiledOnUse(runtime, () =>
    traceFrozen('generate', weights, labelled, (lookUp, { labels, ...inputs }) => {
      const step = inputs as unknown as StepInputs
      return {
        x: kind === 'prior' ? priorStep(config, lookUp, step) : baseStep(config, lookUp, labels!, step),
      }
    }),
  )
  const guided = compiledOnUse(runtime, () =>
    traceFrozen(
      'generateGuided',
      weights,
      { ...labelled, ...guiding },
      (lookUp, { labels, nullLabels, guidance, ...step }) => ({
        x: guidedBaseStep(config, lookUp, labels!, nullLabels!, guidance!, step as unknown as StepInputs),
      }),
    ),
  )
  const none = nullLabel(config)
  const end = config.variant.encoder === 'pixels' ? 'clean' : 'noisy'
  return {
    generate: (labels, seed, sampler, guidance, start = 0) =>
      inBatches(labels.length, B, async (from) => {
        const own = Int32Array.from({ length: B }, (_, i) => labels[from + i] ?? none)
        const first = start + from
        const steps = samplerSteps(baseSchedule(config), sampler, end)
        const x = await runChain(steps, shape, { seed, name: 'generate', first }, async (inputs, step) => {
          // Without classes both branches are the same.
          const scale = kind === 'prior' || config.classes === 0 ? 1 : guidanceAt(guidance, step.logSnr)
          const feeds = { labels: int32([B], own), ...inputs }
          const guide = { nullLabels: int32([B], new Int32Array(B).fill(none)), guidance: scalar(scale) }
          return (await (scale === 1 ? plain.run(feeds) : guided.run({ ...feeds, ...guide }))).x!
        })
        return floats(x)
      }),
    dispose: async () => {
      await plain.dispose()
      await guided.dispose()
    },
  }
}
