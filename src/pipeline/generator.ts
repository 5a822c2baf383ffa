/** @file The base model in use: labels to noisy latents, by guided ancestral or DDIM steps that stop at λ(0). */
import { type Guidance, guidanceAt, type SamplerConfig, samplerSteps } from '../diffusion/sampler.ts'
import { float32, floats, int32, scalar } from '../host/tensor.ts'
import { nullLabel } from '../models/base.ts'
import type { ModelConfig } from '../models/config.ts'
import { baseStep, type StepInputs } from '../models/unifiedLatents.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { traceFrozen, type Weights } from '../train/step.ts'
import { stepSpecs } from './codec.ts'
import { inBatches } from './programs.ts'
import { batchNoise, latentShape } from './stage1.ts'
import { baseSchedule } from './stage2.ts'

/** The base model ready to run. */
export interface Generator {
  /** One class per sample (the null label for none) → noisy latents z_0 [N, c, h, w], noise from (seed, example). */
  generate(
    labels: Int32Array,
    seed: number,
    sampler: SamplerConfig,
    guidance: Guidance,
  ): Promise<Float32Array>
  dispose(): Promise<void>
}

/**
 * Compiles the generator for batches of B.
 * @param weights the averaged stage-2 weights
 */
export const createGenerator = async (
  runtime: Runtime,
  config: ModelConfig,
  weights: Weights,
  B: number,
): Promise<Generator> => {
  const shape = latentShape(config, B)
  const specs = {
    labels: { shape: [B], dtype: 'int32' as const },
    nullLabels: { shape: [B], dtype: 'int32' as const },
    guidance: { shape: [] },
    ...stepSpecs(shape),
  }
  const executable = await runtime.compile(
    traceFrozen('generate', weights, specs, (lookUp, { labels, nullLabels, guidance, ...step }) => ({
      x: baseStep(config, lookUp, labels!, nullLabels!, guidance!, step as unknown as StepInputs),
    })),
  )
  const none = nullLabel(config)
  return {
    generate: (labels, seed, sampler, guidance) =>
      inBatches(labels.length, B, async (first) => {
        const own = Int32Array.from({ length: B }, (_, i) => labels[first + i] ?? none)
        let xT = batchNoise(shape, seed, 'generate', first)
        for (const [i, step] of samplerSteps(baseSchedule(config), sampler, 'noisy').entries()) {
          const feeds = {
            labels: int32([B], own),
            nullLabels: int32([B], new Int32Array(B).fill(none)),
            guidance: scalar(guidanceAt(guidance, step.logSnr)),
            xT,
            eps: step.noise === 0 ? xT : batchNoise(shape, seed, `generate/${i}`, first),
            logSnr: float32([B], new Float32Array(B).fill(step.logSnr)),
            keep: scalar(step.keep),
            clean: scalar(step.clean),
            noise: scalar(step.noise),
          }
          xT = (await executable.run(feeds)).x!
        }
        return floats(xT)
      }),
    dispose: () => executable.dispose(),
  }
}
