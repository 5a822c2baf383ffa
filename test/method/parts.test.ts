/** @file Measuring stage 1 in parts: how many images are in memory at a time changes no bit of any figure. */
import { expect, it } from 'vitest'
import { examplesOf, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { createCodec } from '../../src/method/codec.ts'
import { imageOf, type ModelConfig } from '../../src/method/config.ts'
import { evaluateStage1, type MeasuredPart, type MeasuredStage1 } from '../../src/method/evaluate.ts'
import { elementsOf } from '../../src/method/networks/shapes.ts'
import { partsOf } from '../../src/method/programs.ts'
import type { VariantConfig } from '../../src/method/variants.ts'
import { imageShape, normal, randomParams, stage1Spec, tinyConfig } from './support.ts'

const runtime = new NodeRuntime({ threads: 1 })
const [count, batch] = [7, 2]
const images = normal('images', imageShape(tinyConfig, count), 0.5)

/** Figures but for the speed, and everything that passed. */
const measured = async (
  config: ModelConfig,
  atOnce: number,
): Promise<{ readonly result: MeasuredStage1; readonly reads: number[]; readonly passed: number[][] }> => {
  const weights = randomParams(stage1Spec(config))
  const codec = createCodec(runtime, config, weights, batch)
  const reads: number[] = []
  const read = async (first: number, n: number): Promise<HostTensor> => {
    reads.push(n)
    return examplesOf(images, first, n)
  }
  const passed: number[][] = [[], [], []]
  const look = (part: MeasuredPart): void => {
    expect(part.first * elementsOf(imageOf(config))).toBe(passed[0].length)
    const seen = [floats(part.images), floats(part.reconstructions), part.rateElements]
    for (const [i, own] of seen.entries()) passed[i].push(...own)
  }
  const sampler = { kind: 'ancestral', steps: 2, variance: 0.5 } as const
  const options = { draws: 2, batch, seed: 3, sampler, atOnce }
  const { figures, ...result } = await evaluateStage1(
    runtime,
    { model: config, weights, codec },
    { count, read },
    options,
    look,
  )
  await codec.dispose()
  return { result: { ...result, figures: { ...figures, imagesPerSecond: 0 } }, reads, passed }
}

it.each<Partial<VariantConfig>>([{}, { variance: 'learned' }, { priorBias: 1 }])(
  'figures, reconstructions and rates are those of the whole: %j',
  async (variant) => {
    const config = { ...tinyConfig, variant: { ...tinyConfig.variant, ...variant } }
    const whole = await measured(config, count + batch)
    expect(whole.reads).toEqual([batch, count])
    expect(whole.passed[0]).toEqual([...floats(images)])
    for (const [atOnce, reads] of [
      [1, [2, 2, 2, 1]],
      [5, [4, 3]],
    ] as const) {
      const parts = await measured(config, atOnce)
      expect(parts.reads).toEqual([batch, ...reads]) // the first one for compiling
      expect(parts.result).toEqual(whole.result)
      expect(parts.passed).toEqual(whole.passed)
    }
  },
)

it('parts are whole batches, one at least, and cover all examples in order', () => {
  expect(partsOf(10, 3, 7)).toEqual([
    { first: 0, n: 6 },
    { first: 6, n: 4 },
  ])
  expect(partsOf(3, 2, 1)).toEqual([
    { first: 0, n: 2 },
    { first: 2, n: 1 },
  ])
  expect(partsOf(64, 64)).toEqual([{ first: 0, n: 64 }])
  expect(partsOf(0, 4)).toEqual([])
})
