/** @file Runs whose batches come in parts: what they train, what they cost, and what is refused. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { applySettings, ConfigError, presetByName } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import { type Config, modelConfig } from '../../src/config/schema.ts'
import { floats, type HostTensor, sizeOf } from '../../src/engine/host/tensor.ts'
import { flattenSpec } from '../../src/engine/nn/params.ts'
import { latestCheckpoint, loadCheckpoint } from '../../src/runs/checkpoint.ts'
import { configHash } from '../../src/runs/configHash.ts'
import type { JobEvent } from '../../src/runs/events.ts'
import { describeModel } from '../../src/stages/info.ts'
import { stagesOf } from '../../src/stages/list.ts'
import { expectTrainable } from '../../src/stages/possible.ts'
import { profileStep } from '../../src/stages/profile.ts'
import { stageStep } from '../../src/stages/stageStep.ts'
import { runDir, runtime, tinyConfigOf, trainTiny } from './tinyRun.ts'

const inParts = (config: Config, parts: number): Config =>
  applySettings(config, [`train.accumulate=${parts}`])

type Tensors = Readonly<Record<string, HostTensor>>

const saved = (name: string, stage: string): Tensors =>
  loadCheckpoint(latestCheckpoint(runDir(name), stage)!.path).tensors

const copiesIn = (tensors: Tensors): string[] =>
  [...new Set(Object.keys(tensors).map((name) => name.split('/')[0]))].sort()

/** ‖a − b‖/‖b‖ over all tensors of a copy. */
const relativeError = (copy: string, a: Tensors, b: Tensors): number => {
  const names = Object.keys(b).filter((name) => name.startsWith(`${copy}/`))
  const difference = names.flatMap((name) => [...floats(a[name])].map((v, i) => v - floats(b[name])[i]))
  return norm(difference) / norm(names.flatMap((name) => [...floats(b[name])]))
}
const norm = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0))

const stageNames = ['stage1', 'stage2']

describe('a run with dropout', () => {
  const config = tinyConfigOf(
    ...['decoder.dropout=0.3', 'base.dropout=0.3', 'train.logEvery=1', 'train.warmupSteps=0'],
    ...['train.checkpointEvery=2', 'train.keepCheckpoints=2'],
  )
  let told: Readonly<Record<'whole' | 'parts', readonly JobEvent[]>>
  let trained: Readonly<Record<'whole' | 'parts', readonly Tensors[]>>
  const savedBy = (name: string): Tensors[] => stageNames.map((stage) => saved(name, stage))
  beforeAll(async () => {
    const { events: whole } = await trainTiny('whole', config)
    const { events: parts } = await trainTiny('parts', inParts(config, 2))
    told = { whole, parts }
    trained = { whole: savedBy('whole'), parts: savedBy('parts') }
  })

  const expectClose = (found: readonly Tensors[], expected: readonly Tensors[]): void => {
    for (const [i, stage] of stageNames.entries()) {
      expect(Object.keys(found[i])).toEqual(Object.keys(expected[i]))
      expect(copiesIn(found[i])).toEqual(['ema', 'moment1', 'moment2', 'param'])
      for (const copy of copiesIn(found[i]))
        expect(relativeError(copy, found[i], expected[i]), `${stage} ${copy}`).toBeLessThan(1e-5)
    }
  }

  it('trains the same in parts as in whole batches', () => {
    expectClose(trained.parts, trained.whole)
    // They did not go the same way for having none: rounding tells them apart.
    expect(trained.parts).not.toEqual(trained.whole)
  })

  it('tells the same of every step', () => {
    const steps = (events: readonly JobEvent[]) =>
      events.flatMap((event) => (event.event === 'step' ? [event] : []))
    const [whole, parts] = [steps(told.whole), steps(told.parts)]
    expect(whole).toHaveLength(8)
    for (const [i, expected] of whole.entries()) {
      const [found, of] = [Object.entries(parts[i]), Object.keys(expected)]
      expect(found.map(([name]) => name)).toEqual(of)
      const timed = ['imagesPerSecond', 'gflopsPerSecond', 'secondsLeft']
      for (const [name, value] of found.filter(([name]) => !timed.includes(name))) {
        const wanted: unknown = expected[name as keyof typeof expected]
        if (typeof value !== 'number' || value === 0) expect(value, name).toBe(wanted)
        else expect(value / Number(wanted), name).toBeCloseTo(1, 5)
      }
    }
  })

  /** Takes the last two of four steps again. */
  const resume = async (name: string, parts: number, again: readonly string[]): Promise<void> => {
    for (const stage of again)
      rmSync(join(runDir(name), 'checkpoints', `${stage}-000000004`), { recursive: true })
    const { events } = await trainTiny(name, inParts(config, parts))
    const notes = events.flatMap((event) => (event.event === 'note' ? [event.text] : []))
    for (const stage of again) expect(notes).toContain(`${stage}: resuming after step 2`)
  }

  it('resumes in parts bit for bit', async () => {
    await resume('parts', 2, stageNames)
    expect(savedBy('parts')).toEqual(trained.parts)
  })

  it('resumes in another number of parts', async () => {
    // Stage 2 alone: other bits of stage 1 would be other latents.
    await resume('whole', 4, ['stage2'])
    expectClose(savedBy('whole'), trained.whole)
    expect(savedBy('whole')).not.toEqual(trained.whole)
  })
})

describe('train.accumulate', () => {
  const config = applySettings(presetByName('study'), ['train.batch=12', 'train.stage2.batch=24'])

  it('changes no hash, and no number of parts is one', () => {
    for (const parts of [1, 2, 12]) expect(configHash(inParts(config, parts))).toBe(configHash(config))
    const model = modelConfig(config, 9)
    const partsOf = (own: Config): number[] =>
      stagesOf(own).map((stage) => stageStep(own, model, stage).step.parts)
    expect(partsOf(config)).toEqual([1, 1])
    expect(partsOf(inParts(config, 3))).toEqual([3, 3])
  })

  it.each([
    [5, 'stage1 is 12'],
    [24, 'stage1 is 12'],
  ])('of %d, which does not divide every batch, is refused', (parts, what) => {
    const own = inParts(config, parts)
    const message = `train.accumulate is ${parts}, but the batch of ${what}; set a divisor of every stage's batch`
    expect(() => expectTrainable(own)).toThrow(new ConfigError(message))
    expect(() => describeModel(own, 9)).toThrow(new ConfigError(message))
  })

  it('of which one stage alone could make parts is refused, and so is what is no number of parts', () => {
    const own = applySettings(config, ['train.stage2.batch=16', 'train.accumulate=3'])
    expect(() => expectTrainable(own)).toThrow(
      "train.accumulate is 3, but the batch of stage2 is 16; set a divisor of every stage's batch",
    )
    expect(() => inParts(config, 0)).toThrow(ConfigError)
    expect(() => inParts(config, 1.5)).toThrow(ConfigError)
  })

  it('is kept by the smoke form as far as its batches allow', () => {
    const smoke = (...settings: string[]): number | undefined =>
      smokeForm(applySettings(presetByName('imagenet512'), settings)).train.accumulate
    expect(smoke()).toBe(16)
    expect(smokeForm(config).train.accumulate).toBeUndefined()
    expect(smoke('train.accumulate=64')).toBe(16)
    expect(smoke('train.accumulate=4')).toBe(4)
    expect(smoke('train.batch=12', 'train.stage2.batch=24', 'train.accumulate=3')).toBe(3)
  })

  it.each(['cpu', 'cuda'] as const)('is told by ul info: sums more, activations less (%s)', (device) => {
    const [whole, parts] = [describeModel(config, 9, device), describeModel(inParts(config, 4), 9, device)]
    expect(parts.networks).toEqual(whole.networks)
    for (const [i, stage] of stagesOf(config).entries()) {
      const [before, after] = [whole.stages[i], parts.stages[i]]
      expect([after.batch, after.gflopsPerStep]).toEqual([before.batch, before.gflopsPerStep])
      const { spec } = stage.objective(modelConfig(config, 9), 1)
      const bytes = 4 * flattenSpec(spec).reduce((sum, { spec: { shape } }) => sum + sizeOf(shape), 0)
      // Parameters, two moments, averages and sums, that of the loss among them; on a GPU the next of four beside them.
      expect(after.stateBytes).toBe(5 * bytes + 4 + (device === 'cpu' ? 0 : 4 * bytes))
      expect(after.intermediateBytes).toBeLessThan(0.5 * before.intermediateBytes)
    }
  })

  it('is profiled: both programs of a step are', async () => {
    const own = inParts(tinyConfigOf(), 2)
    for (const stage of stagesOf(own)) {
      const { batch, byLayer } = await profileStep(runtime, own, stage, 2, 1)
      expect(batch).toBe(4)
      const names = byLayer.map(({ name }) => name)
      expect(names).toContain('accumulate')
      expect(names).toContain('optimizer')
      expect(byLayer.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6)
    }
  })
})
