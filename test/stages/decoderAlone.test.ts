/** @file The decoder trained on alone: what it leaves as it is, where it starts, and that it pays. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ConfigError } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import { describeModel } from '../../src/stages/info.ts'
import { beforeBase, chosenStages, stageOf } from '../../src/stages/list.ts'
import type { Weights } from '../../src/train/frozen.ts'
import { openRun } from '../../src/use/openRun.ts'
import { runDir, runtime, tinyConfigOf, trainTiny } from './tinyRun.ts'

/** The settings of the stage. */
const further = (steps: number, lr: number): string =>
  `train.stages={ stage1decoder: { steps: ${steps}, batch: 8, lr: ${lr}, emaDecay: 0.9 } }`

const weightsOf = (name: string): { readonly autoencoder: Weights; readonly base: Weights } => {
  const run = openRun(runDir(name), runtime)
  return { autoencoder: run.autoencoder(), base: run.base() }
}

const under = (weights: Weights, network: string): Weights =>
  Object.fromEntries(Object.entries(weights).filter(([path]) => path.startsWith(`${network}.`)))

it('changes the decoder alone, for the better', async () => {
  const plain = await trainTiny('plain', tinyConfigOf())
  const more = await trainTiny('more', tinyConfigOf(further(60, 1e-3)))
  const parts = await trainTiny('parts', tinyConfigOf(further(60, 1e-3), 'train.accumulate=2'))
  const [before, after] = [weightsOf('plain'), weightsOf('more')]
  for (const network of ['encoder', 'prior'])
    expect(under(after.autoencoder, network)).toEqual(under(before.autoencoder, network))
  expect(after.base).toEqual(before.base)
  expect(under(after.autoencoder, 'decoder')).not.toEqual(under(before.autoencoder, 'decoder'))
  const [first, second] = [plain.result.evaluation!, more.result.evaluation!]
  expect(second.bitsPerPixel).toEqual(first.bitsPerPixel)
  expect(second.decoderNats.mean).toBeLessThan(0.95 * first.decoderNats.mean)
  expect(second.psnr.mean).toBeGreaterThan(first.psnr.mean)
  // The same noise by example, whatever the parts: only rounding differs.
  expect(parts.result.evaluation!.decoderNats.mean / second.decoderNats.mean).toBeCloseTo(1, 3)
})

it('is gained by a run that is finished, and not lost or changed once it has begun', async () => {
  await trainTiny('gains', tinyConfigOf())
  const before = weightsOf('gains')
  await trainTiny('gains', tinyConfigOf(further(6, 1e-3)))
  const after = weightsOf('gains')
  expect(under(after.autoencoder, 'decoder')).not.toEqual(under(before.autoencoder, 'decoder'))
  expect(under(after.autoencoder, 'encoder')).toEqual(under(before.autoencoder, 'encoder'))
  expect(after.base).toEqual(before.base)
  await expect(trainTiny('gains', tinyConfigOf())).rejects.toThrow(/train\.stages/)
  await expect(trainTiny('gains', tinyConfigOf(further(6, 2e-3)))).rejects.toThrow(
    'train.stages.stage1decoder.lr (0.001 there, 0.002 now)',
  )
})

it('starts from the decoder of stage 1', async () => {
  await trainTiny('still', tinyConfigOf(further(2, 1e-12)))
  const [still, plain] = [weightsOf('still').autoencoder, weightsOf('plain').autoencoder]
  for (const [path, { data }] of Object.entries(still))
    for (const [i, value] of [...data].entries())
      expect(Math.abs(Number(value) - Number(plain[path].data[i]))).toBeLessThan(1e-9)
})

it('is trained before the base models that share it, and shrinks with the smoke form', () => {
  expect(chosenStages(beforeBase).map(({ name }) => name)).toEqual(['stage1', 'stage1decoder', 'student'])
  const { stages } = smokeForm(tinyConfigOf(further(50_000, 1e-3))).train
  expect(stages).toEqual({ stage1decoder: { steps: 40, batch: 8, lr: 1e-3, emaDecay: 0.9 } })
})

it('is told by info, and where nobody asks for it there is none', () => {
  const names = (config: ReturnType<typeof tinyConfigOf>) =>
    describeModel(config, 2).stages.map(({ stage }) => stage)
  expect(names(tinyConfigOf())).toEqual(['stage1', 'stage2'])
  expect(names(tinyConfigOf(further(4, 1e-3)))).toEqual(['stage1', 'stage1decoder', 'stage2'])
})

it('is missed, not passed over, where it is asked for and not configured', async () => {
  const { events } = await trainTiny('plain', tinyConfigOf(), 'decoder')
  expect(events).toContainEqual({
    event: 'warning',
    text: '--stage decoder: this configuration has no such stage, nothing is trained',
  })
  expect(() => stageOf(tinyConfigOf(), 'decoder')).toThrow(
    /it has no stage1decoder, its stages are stage1, stage2; give one of these/,
  )
})

it('refuses a stage that there is not, naming those that there are', async () => {
  const config = tinyConfigOf('train.stages={ stage3: { steps: 1, batch: 1, lr: 1, emaDecay: 0 } }')
  const failed = trainTiny('unknown', config)
  await expect(failed).rejects.toThrow(ConfigError)
  await expect(failed).rejects.toThrow(
    /there is no such stage; stages are stage1, stage1decoder, student, stage2/,
  )
  expect(existsSync(join(runDir('unknown'), 'config.yaml'))).toBe(false)
})
