/** @file What is said when a tensor of training is larger than what the device takes, on planted devices. */
import { describe, expect, it } from 'vitest'
import { applySettings, ConfigError, presetByName } from '../../src/config/load.ts'
import { type Config, modelConfig } from '../../src/config/schema.ts'
import { bytesOf, largestValue } from '../../src/engine/ir/cost.ts'
import type { DeviceLimits } from '../../src/engine/runtime/runtime.ts'
import { limitWarnings } from '../../src/stages/limits.ts'
import { stagesOf } from '../../src/stages/list.ts'
import { stageStep } from '../../src/stages/stageStep.ts'
import { programsOf } from '../../src/train/trainStep.ts'

const config = applySettings(presetByName('study'), ['train.batch=64'])
const [stage1, stage2] = stagesOf(config)
const classes = 9
const taking = (tensorBytes: number, adapter: string | null = 'Card'): DeviceLimits => ({
  ...{ adapter, tensorBytes, isSoftware: false, float16: false },
})

/** Bytes of the largest tensor of a stage's step. */
const largest = (own: Config, stage = stage1): number => {
  const { step } = stageStep(own, modelConfig(own, classes), stage)
  return Math.max(...programsOf(step).map(({ program }) => bytesOf(largestValue(program)!)))
}
const inParts = (parts: number): Config => applySettings(config, [`train.accumulate=${parts}`])

const refusal = (own: Config, tensorBytes: number): string => {
  try {
    limitWarnings(own, stagesOf(own), { classes, limits: taking(tensorBytes) })
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as Error).message
  }
  return 'not refused'
}

describe('a device whose limit is known', () => {
  it('takes what fits to the byte, and refuses a byte more', () => {
    const bytes = Math.max(largest(config), largest(config, stage2))
    expect(limitWarnings(config, [stage1, stage2], { classes, limits: taking(bytes) })).toEqual([])
    expect(limitWarnings(config, [stage1, stage2], { classes, limits: null })).toEqual([])
    expect(refusal(config, bytes - 1)).not.toBe('not refused')
  })

  it('refuses with the tensor, its size, the limit and the fewest parts that fit', () => {
    const most = largest(inParts(4))
    expect(largest(inParts(2))).toBeGreaterThan(most)
    const found = refusal(config, most)
    expect(found).toMatch(
      /^the largest tensor of stage1, \w+ at (d )?(encoder|prior|decoder)\/\S+ \(float32\[[\d,]+\]\), takes [\d.]+ MiB, but the adapter 'Card' takes [\d.]+ MiB at most; set train\.accumulate=4 or a smaller batch$/,
    )
    expect(limitWarnings(inParts(4), [stage1], { classes, limits: taking(most) })).toEqual([])
  })

  it('names a parameter that no batch makes smaller: products need it whole', () => {
    const single = inParts(64)
    expect(refusal(single, 2 ** 16)).toMatch(
      /^the largest tensor of stage1, \w+(\.\w+)+ \[[\d,]+\], takes [\d.]+ MiB, .*; set narrower networks or smaller images$/,
    )
  })
})

describe('a device whose limit is not known', () => {
  it('is not refused: what is assumed is said, and what to set should it fail', () => {
    const most = largest(inParts(2))
    const limits = taking(most, null)
    const said = limitWarnings(config, [stage1], { classes, limits })
    expect(said).toEqual([
      expect.stringMatching(
        /^the largest tensor of stage1, .* MiB, and what this device takes is not known: WebGPU by its specification promises [\d.]+ MiB only; if the step fails, set train\.accumulate=2 or a smaller batch$/,
      ),
    ])
    expect(limitWarnings(inParts(2), [stage1], { classes, limits })).toEqual([])
  })
})
