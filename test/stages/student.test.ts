/** @file A student's run: what it takes from its teacher's, what it learns, and that every use of a run serves it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { floats } from '../../src/engine/host/tensor.ts'
import { networkWeights } from '../../src/model/networks.ts'
import { readMetrics } from '../../src/runs/metrics.ts'
import { describeModel } from '../../src/stages/info.ts'
import { expectTrainable } from '../../src/stages/possible.ts'
import { type Lesson, studentConfig } from '../../src/stages/student.ts'
import { exportRun } from '../../src/use/exportRun.ts'
import { openRun, sharesFigures } from '../../src/use/openRun.ts'
import { normal } from '../method/support.ts'
import { runDir, runtime, stagesSaved, tinyConfigOf, trainTiny } from './tinyRun.ts'

const teacher = tinyConfigOf('sampler.decoderSteps=4', 'train.stage1.steps=12')

const lesson: Lesson = {
  from: join('..', 'teacher'),
  steps: 1,
  generated: 0.25,
  trainSteps: 30,
  batch: 8,
  lr: 2e-3,
}
const student = (change: Partial<Lesson> = {}): Config => studentConfig(teacher, { ...lesson, ...change })
const opened = (name: string) => openRun(runDir(name), runtime)

const errors = (name: string): number[] =>
  readMetrics(join(runDir(name), 'metrics.jsonl')).flatMap(({ teacherError }) =>
    typeof teacherError === 'number' ? [teacherError] : [],
  )

beforeAll(async () => {
  const { result: theirs } = await trainTiny('teacher', teacher)
  const { result: own } = await trainTiny('student', student())
  expect(own.evaluation!.bitsPerPixel).toEqual(theirs.evaluation!.bitsPerPixel)
  expect(own.evaluation!.psnr).not.toEqual(theirs.evaluation!.psnr)
})

it('comes closer to its teacher, and has all else from it', () => {
  expect(stagesSaved('student')).toEqual([])
  const [own, theirs] = [opened('student'), opened('teacher')]
  for (const network of ['encoder', 'prior'])
    expect(networkWeights(own.autoencoder(), network)).toEqual(networkWeights(theirs.autoencoder(), network))
  expect(own.base()).toEqual(theirs.base())
  expect(networkWeights(own.autoencoder(), 'decoder')).not.toEqual(
    networkWeights(theirs.autoencoder(), 'decoder'),
  )
  const [first, , last] = errors('student')
  expect(last).toBeLessThan(0.9 * first)
  expect(sharesFigures(own, runDir('student'))).toBe(false)
})

it('decodes in one step what the teacher decodes in many', async () => {
  const z0 = normal('z0', [4, 8, 4, 4])
  const decoded = async (name: string, steps: number): Promise<Float32Array> => {
    const codec = opened(name).codec(4)
    const images = await codec.decode(z0, 3, { kind: 'ddim', steps, variance: 0 })
    await codec.dispose()
    return floats(images)
  }
  const many = await decoded('teacher', 4)
  const error = (given: Float32Array): number => given.reduce((sum, v, i) => sum + (v - many[i]) ** 2, 0)
  expect(error(await decoded('student', 1))).toBeLessThan(error(await decoded('teacher', 1)))
})

it('is the same again bit by bit, and to rounding in parts of its batch', async () => {
  await trainTiny('again', student())
  expect(opened('again').autoencoder()).toEqual(opened('student').autoencoder())
  const config = student()
  await trainTiny('parts', { ...config, train: { ...config.train, accumulate: 2 } })
  expect(errors('parts').at(-1)! / errors('student').at(-1)!).toBeCloseTo(1, 3)
})

it('of its teacher, unchanged, starts as that one does', async () => {
  await trainTiny('same', student({ steps: 4, teacherSteps: 4, trainSteps: 8, lr: 1e-12, generated: 0 }))
  // Clipping to the range of pixels is all that a prediction of its own step can differ by.
  expect(Math.max(...errors('same'))).toBeLessThan(errors('student')[0] / 2)
})

it('is exported and told of like any run', async () => {
  exportRun(runDir('student'), runDir('exported'), runtime)
  const run = opened('exported')
  const [halves, whole] = [run.autoencoder(), opened('student').autoencoder()]
  expect(Object.keys(halves).sort()).toEqual(Object.keys(whole).sort())
  for (const [path, { data }] of Object.entries(halves))
    for (const [i, value] of [...data].entries())
      expect(Math.abs(Number(value) - Number(whole[path].data[i]))).toBeLessThan(1e-3)
  expect(run.hasBase).toBe(true)
  // What it says of itself is whole: the decoder that it has, and how that was taught.
  expect(run.config.student).toEqual(student().student)
  expect(run.config.train.stages).toEqual(student().train.stages)
  expect(readFileSync(join(runDir('exported'), 'README.md'), 'utf8')).toContain(
    '- decoder: takes 1 step, taught by the 4 of another',
  )
  expect(describeModel(student(), 2).stages.map(({ stage }) => stage)).toContain('student')
})

it.each<[string, Config, RegExp]>([
  [
    'no teacher',
    { ...student(), train: { ...student().train, stage1: teacher.train.stage1 } },
    /names no run that teaches/,
  ],
  ['a grid of its own', student({ steps: 3, teacherSteps: 4 }), /not a multiple of student\.steps 3/],
  [
    'no steps of training',
    { ...student(), train: { ...student().train, stages: {} } },
    /train\.stages\.student is not/,
  ],
  ['no steps', { ...student(), student: undefined }, /but student is not/],
  [
    'a decoder of one step',
    { ...student(), variant: { ...teacher.variant, decoder: 'mse' } },
    /takes one step already/,
  ],
])('is refused with %s', (_, config, message) => {
  expect(() => expectTrainable(config)).toThrow(ConfigError)
  expect(() => expectTrainable(config)).toThrow(message)
})

it('needs a base model only for generated latents', async () => {
  await trainTiny('half', tinyConfigOf('train.stage2.steps=0'), '1')
  const from = join('..', 'half')
  await expect(trainTiny('eager', student({ from }))).rejects.toThrow(/generates no latents/)
  const { result } = await trainTiny('modest', student({ from, generated: 0, trainSteps: 2 }))
  expect(result.finished).toBe(true)
})
