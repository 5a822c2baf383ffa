/** @file Sweeps: the runs that a file or a grid stands for, and a tiny one that is run, resumed and stopped. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError, presetByName } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { armFolder, gridArms, parseSweep, type Sweep } from '../../src/config/sweepFile.ts'
import { measureRun } from '../../src/measure/measureRun.ts'
import type { JobEvent } from '../../src/runs/events.ts'
import { runFiles } from '../../src/runs/files.ts'
import { evaluationIn, qualityIn, writeQuality } from '../../src/runs/results.ts'
import { readRunConfig } from '../../src/runs/runDirectory.ts'
import { describeModel } from '../../src/stages/info.ts'
import { beforeBase } from '../../src/stages/list.ts'
import { runSweep, shardOf, sweepRuns } from '../../src/studies/sweep.ts'
import { writeQuarters } from '../features/quarters.ts'
import { runDir, runtime, tinyConfigOf, trainTiny, workFolder } from '../stages/tinyRun.ts'

describe('gridArms', () => {
  it('combines all values, the last axis fastest, named by the last part of the keys', () => {
    expect(gridArms(['decoder.lossFactor=1.5,2', 'seed=1,2'])).toEqual([
      { name: 'lossFactor=1.5 seed=1', set: ['decoder.lossFactor=1.5', 'seed=1'] },
      { name: 'lossFactor=1.5 seed=2', set: ['decoder.lossFactor=1.5', 'seed=2'] },
      { name: 'lossFactor=2 seed=1', set: ['decoder.lossFactor=2', 'seed=1'] },
      { name: 'lossFactor=2 seed=2', set: ['decoder.lossFactor=2', 'seed=2'] },
    ])
    expect(gridArms(['a=1,2', 'b=1,2,3', 'c=1,2'])).toHaveLength(12)
    expect(gridArms([])).toEqual([{ name: '', set: [] }])
  })

  it('takes lists as values', () => {
    const arms = gridArms(['base.widths=[64, 128],[128,192]', 'data.path=a,b'])
    expect(arms.map(({ set }) => set)).toEqual([
      ['base.widths=[64, 128]', 'data.path=a'],
      ['base.widths=[64, 128]', 'data.path=b'],
      ['base.widths=[128,192]', 'data.path=a'],
      ['base.widths=[128,192]', 'data.path=b'],
    ])
  })

  it.each(['lossFactor', '=3', 'seed=', 'seed=1,', 'seed=,1'])('refuses %s', (axis) => {
    expect(() => gridArms([axis])).toThrow(ConfigError)
    expect(() => gridArms([axis])).toThrow(`--grid ${axis}: expected key=value,value`)
  })

  it('refuses a value given twice', () => {
    expect(() => gridArms(['seed=1,2,1'])).toThrow(/'seed=1' and 'seed=1' would share a directory/)
  })
})

const small = 'title: t\npreset: study\narms:\n  - name: a\n'

describe('parseSweep', () => {
  it('fills in what a file leaves out', () => {
    expect(parseSweep(small, 'f.yaml')).toEqual({
      ...{ title: 't', preset: 'study', set: [], seeds: 1, samples: 1024, bases: [], plots: [] },
      arms: [{ name: 'a', set: [] }],
    })
  })

  it.each([
    ['preset: study\narms: [{ name: a }]', "f.yaml: 'title': "],
    [`${small}seeds: 0`, "f.yaml: 'seeds': "],
    [`${small}samples: 7`, "f.yaml: 'samples': "],
    [`${small}sedes: 2`, "f.yaml: 'sedes': there is no such key; "],
    ['title: t\npreset: study\narms: []', "f.yaml: 'arms': "],
    [`${small}  - { name: b, sets: [] }`, "f.yaml: 'arms.1.sets': there is no such key; "],
    [`${small}  - { name: a/b }`, "f.yaml: 'arms.1.name': may hold letters"],
    [`${small}  - { name: .. }`, "f.yaml: 'arms.1.name': must begin with a letter"],
    [`${small}  - { name: samples }`, "f.yaml: 'arms.1.name': is the name of a directory that runs make"],
    [`${small}  - { name: a }`, "f.yaml: 'arms': 'a' and 'a' would share a directory; "],
    [`${small}  - { name: b c }\n  - { name: b=c }`, "f.yaml: 'arms': 'b c' and 'b=c' would share"],
    [`${small}bases: [{ name: x }, { name: x }]`, "f.yaml: 'bases': 'x' and 'x' would share"],
    [`${small}plots: [{ x: PSNR }]`, "f.yaml: 'plots.0.y': "],
    ['- 1', 'f.yaml: '],
    ['title: [', 'f.yaml:1:9: this is not YAML: '],
  ])('%j: one sentence that names the key', (text, expected) => {
    expect(() => parseSweep(text, 'f.yaml')).toThrow(ConfigError)
    try {
      parseSweep(text, 'f.yaml')
    } catch (error) {
      const { message } = error as Error
      expect(message.startsWith(expected), message).toBe(true)
      expect(message).not.toContain('\n')
      expect(message).not.toContain("''")
    }
  })
})

const sweepOf = (changes: Partial<Sweep> = {}): Sweep => ({
  ...{ title: 't', preset: 'study', set: ['train.batch=8'], seeds: 2, samples: 8, plots: [] },
  arms: [
    { name: 'c_lf 1.5', set: ['decoder.lossFactor=1.5'] },
    { name: 'two', set: ['decoder.lossFactor=2', 'train.batch=9'] },
  ],
  bases: [
    { name: 'small', set: [] },
    { name: 'wide base', set: ['base.widths=[96, 128]'] },
  ],
  ...changes,
})

describe('sweepRuns', () => {
  it('goes seed by seed, a stage 1 before the base models that use it', () => {
    const runs = sweepRuns(sweepOf(), presetByName('study'), '/s')
    expect(runs.map(({ dir, stage }) => `${dir} ${stage}`)).toEqual(
      [0, 1].flatMap((seed) =>
        ['c_lf-1.5', 'two'].flatMap((arm) => [
          `/s/${arm}/seed-${seed} ${beforeBase}`,
          `/s/${arm}/seed-${seed}/small all`,
          `/s/${arm}/seed-${seed}/wide-base all`,
        ]),
      ),
    )
    for (const [i, { dir, config, stage }] of runs.entries()) {
      const [seed, two, wide] = [i < 6 ? 0 : 1, i % 6 >= 3, i % 3 === 2]
      expect(config.seed).toBe(seed)
      expect([config.decoder.lossFactor, config.train.batch]).toEqual(two ? [2, 9] : [1.5, 8])
      expect(config.base.widths).toEqual(wide ? [96, 128] : [64, 128])
      const { from } = config.train.stage1
      if (stage === beforeBase) expect(from).toBeNull()
      else expect(resolve(dir, from!)).toBe(runs[i - (i % 3)].dir)
    }
  })

  it('without base models trains both stages, and says which setting is wrong', () => {
    const runs = sweepRuns(sweepOf({ bases: [] }), presetByName('study'), 's')
    expect(runs.map(({ dir, stage }) => `${dir} ${stage}`)).toEqual([
      's/c_lf-1.5/seed-0 all',
      's/two/seed-0 all',
      's/c_lf-1.5/seed-1 all',
      's/two/seed-1 all',
    ])
    const wrong = sweepOf({ arms: [{ name: 'a', set: ['decoder.lossfactor=1'] }] })
    expect(() => sweepRuns(wrong, presetByName('study'), 's')).toThrow(/'decoder\.lossFactor'/)
    const one = sweepRuns(sweepOf({ arms: gridArms([]), seeds: 1, bases: [] }), presetByName('study'), 's')
    expect(one.map(({ dir }) => dir)).toEqual(['s/seed-0'])
  })
})

describe('experiments', () => {
  const files = readdirSync('experiments').filter((file) => file.endsWith('.yaml'))

  it.each(files)('%s: every run of it is a configuration whose cost can be told', (file) => {
    const text = readFileSync(join('experiments', file), 'utf8')
    const sweep = parseSweep(text, file)
    expect(text).toContain(`# ul sweep experiments/${file} && ul report runs/${file.replace('.yaml', '')} `)
    const runs = sweepRuns(sweep, presetByName(sweep.preset), 's')
    expect(new Set(runs.map(({ dir }) => dir)).size).toBe(runs.length)
    expect(runs).toHaveLength(sweep.seeds * sweep.arms.length * (1 + sweep.bases.length))
    // An arm whose settings do nothing would be compared with itself.
    const arms = runs.filter(({ config }) => config.train.stage1.from === null)
    expect(new Set(arms.map(({ config }) => JSON.stringify(config))).size).toBe(arms.length)
    for (const { config } of runs.filter(({ config: { seed } }) => seed === 0)) {
      const { latentShape, networks, stages } = describeModel(config, 9)
      const { channels, downsample } = config.latent
      const side = config.data.size / downsample
      expect(latentShape).toEqual([channels, side, side])
      for (const { network, gflopsForward, gflopsTraining, parameters } of networks) {
        expect(gflopsTraining).toBe(3 * gflopsForward)
        const absent = network === 'prior' && config.variant.prior === 'normal'
        if (absent) expect([gflopsForward, parameters]).toEqual([0, 0])
        else expect(Math.min(gflopsForward, parameters)).toBeGreaterThan(0)
      }
      for (const { gflopsPerStep } of stages) expect(gflopsPerStep).toBeGreaterThan(0)
    }
  })
})

describe('shardOf', () => {
  it('parts a sweep into whole arms, each run in one part', () => {
    const sweep = sweepOf({ bases: [{ name: 'b', set: [] }] })
    const runs = sweepRuns(sweep, presetByName('study'), 's')
    expect(shardOf(runs, sweep, undefined)).toEqual(runs)
    for (const of of [1, 2, 3, 5]) {
      const parts = Array.from({ length: of }, (_, i) => shardOf(runs, sweep, { part: i + 1, of }))
      expect(
        parts
          .flat()
          .map(({ dir }) => dir)
          .sort(),
      ).toEqual(runs.map(({ dir }) => dir).sort())
      const most = Math.ceil(runs.length / 2 / of) * 2
      for (const part of parts) {
        expect(part.length).toBeLessThanOrEqual(most)
        // A base model comes right after the stage 1 that it needs.
        for (const [i, { dir }] of part.entries()) {
          if (i % 2 === 1) expect(dir).toBe(join(part[i - 1].dir, 'b'))
        }
      }
    }
  })
})

const features = writeQuarters(workFolder)

/** Two arms and one base model, of a step or two. */
const tiny = sweepOf({
  seeds: 1,
  set: ['train.stage1.steps=2', 'train.stage2.steps=2'],
  bases: [{ name: 'b', set: [] }],
})
const tinyDirs = (name: string): string[] =>
  ['c_lf-1.5', 'two'].flatMap((arm) => [
    join(runDir(name), arm, 'seed-0'),
    join(runDir(name), arm, 'seed-0', 'b'),
  ])

const go = async (
  name: string,
  options: {
    readonly stopAt?: (event: JobEvent) => boolean
    readonly sweep?: Sweep
    readonly config?: Config
  } = {},
): Promise<{ readonly done: boolean; readonly events: JobEvent[] }> => {
  const events: JobEvent[] = []
  const abort = new AbortController()
  const listen = (event: JobEvent): void => {
    events.push(event)
    if (options.stopAt?.(event)) abort.abort()
  }
  const { sweep = tiny, config = tinyConfigOf() } = options
  const done = await runSweep({
    sweep,
    config,
    dir: runDir(name),
    features,
    runtime,
    listen,
    signal: abort.signal,
  })
  return { done, events }
}

/** When every file below a directory was written last. */
const times = (dir: string): [string, number][] =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((file) => [file, statSync(join(dir, file)).mtimeMs])

const steps = (events: readonly JobEvent[]): number => events.filter(({ event }) => event === 'step').length

describe('runSweep', () => {
  it('trains and measures every run, and the second time none', async () => {
    const { done, events } = await go('sweep')
    expect(done).toBe(true)
    expect(events.filter(({ event }) => event === 'done')).toHaveLength(4)
    expect(events.flatMap((e) => (e.event === 'note' && /^run \d/.test(e.text) ? [e.text] : []))).toEqual(
      tinyDirs('sweep').map((dir, i) => `run ${i + 1} of 4: ${dir}`),
    )
    for (const [i, dir] of tinyDirs('sweep').entries()) {
      const quality = qualityIn(dir)!
      expect(quality.reconstruction!.frechet).toBeGreaterThan(0)
      expect(quality.generation === null).toBe(i % 2 === 0)
      if (i % 2 === 1) {
        // The base model takes the figures of the stage 1 that it shares, and trains none.
        expect(quality.reconstruction).toEqual(qualityIn(tinyDirs('sweep')[i - 1])!.reconstruction)
        expect(readdirSync(join(dir, 'checkpoints')).every((name) => name.startsWith('stage2'))).toBe(true)
      }
      expect(readRunConfig(dir).decoder.lossFactor).toBe(i < 2 ? 1.5 : 2)
    }
    const before = times(runDir('sweep'))
    const again = await go('sweep')
    expect(again).toEqual({ done: true, events: [] })
    expect(times(runDir('sweep'))).toEqual(before)
  })

  it('measures again what was measured otherwise, and trains nothing for it', async () => {
    await go('sweep')
    const [, base] = tinyDirs('sweep')
    const before = qualityIn(base)!
    // By another network alone, the same otherwise.
    writeQuality(
      base,
      { ...before, protocol: { ...before.protocol, network: 'FD-other: 3 features' } },
      'cpu',
    )
    expect((await go('sweep')).done).toBe(true)
    expect(qualityIn(base)).toEqual(before)
    const otherwise = { samples: 5, seed: 1, guidance: 3, fitBias: false, features }
    const byHand = await measureRun(base, runtime, otherwise)
    expect(byHand.protocol).toMatchObject({ samples: 5, seed: 1, guidance: 3 })
    writeQuality(base, byHand, 'cpu')
    const { done, events } = await go('sweep')
    expect([done, steps(events)]).toEqual([true, 0])
    expect(qualityIn(base)).toEqual(before)
    // Figures from before protocols named these two still count.
    const { samples: _, seed: __, ...protocol } = before.protocol
    writeQuality(base, { ...before, protocol }, 'cpu')
    expect(await go('sweep')).toEqual({ done: true, events: [] })
    writeQuality(base, before, 'cpu')
  })

  it('measures reconstructions itself where the base model asks for another decoder sampler', async () => {
    const bases = [{ name: 'b', set: ['sampler.decoderSteps=3'] }]
    const sweep = { ...tiny, arms: [tiny.arms[0]], bases }
    await go('steps', { sweep })
    const own = join(runDir('steps'), 'c_lf-1.5', 'seed-0')
    const [stage1, base] = [qualityIn(own)!, qualityIn(join(own, 'b'))!]
    expect(stage1.protocol.decoderSampler).toBe('ddim, 2 steps')
    expect(base.protocol.decoderSampler).toBe('ddim, 3 steps')
    expect(base.reconstruction!.frechet).not.toBe(stage1.reconstruction!.frechet)
    expect(evaluationIn(join(own, 'b'))!.psnr.mean).not.toBe(evaluationIn(own)!.psnr.mean)
  })

  it('refuses finished runs of another configuration rather than to take them for its own', async () => {
    const changed = { ...tiny, set: [...tiny.set, 'train.lr=1e-4'] }
    await expect(go('sweep', { sweep: changed })).rejects.toThrow(ConfigError)
    await expect(go('sweep', { sweep: changed })).rejects.toThrow(
      /c_lf-1\.5.*another configuration: train\.lr \(0\.001 there, 0\.0001 now\)/,
    )
  })

  it('measures reconstructions itself where its stage 1 was trained outside and not measured', async () => {
    await trainTiny('outside', tinyConfigOf('train.stage1.steps=2'), '1')
    const own = `train.stage1.from=${runDir('outside')}`
    const arms = [{ name: 'a', set: ['train.stage1.steps=2', 'train.stage2.steps=1', own] }]
    expect((await go('from outside', { sweep: { ...tiny, set: [], arms, bases: [] } })).done).toBe(true)
    const { reconstruction, generation } = qualityIn(join(runDir('from outside'), 'a', 'seed-0'))!
    expect(reconstruction!.frechet).toBeGreaterThan(0)
    expect(generation!.frechet).toBeGreaterThan(0)
  })

  it('stopped before a run starts nothing, and while one is measured measures it the next time', async () => {
    const one = { ...tiny, arms: [tiny.arms[0]], bases: [] }
    const first = await go('last', { sweep: one, stopAt: ({ event }) => event === 'done' })
    expect([first.done, first.events.at(-1)]).toEqual([false, { event: 'stopped' }])
    const dir = join(runDir('last'), 'c_lf-1.5', 'seed-0')
    expect(qualityIn(dir)).toBeNull()
    const second = await go('last', { sweep: one })
    expect([second.done, steps(second.events)]).toEqual([true, 0])
    expect(qualityIn(dir)!.reconstruction!.frechet).toBeGreaterThan(0)
    const both = { ...tiny, bases: [] }
    expect((await go('two', { sweep: both, stopAt: ({ event }) => event === 'done' })).done).toBe(false)
    expect(readdirSync(runDir('two'))).toEqual(['c_lf-1.5'])
  })

  it('opens the feature network before it trains', async () => {
    const signal = new AbortController().signal
    const request = { sweep: tiny, config: tinyConfigOf(), dir: runDir('unmeasured'), runtime, signal }
    const missing = join(runDir('unmeasured'), 'missing.onnx')
    await expect(runSweep({ ...request, features: missing, listen: () => undefined })).rejects.toThrow(
      missing,
    )
    expect(existsSync(runDir('unmeasured'))).toBe(false)
  })

  it('goes on where it was stopped, and makes what it would have made', async () => {
    const logged = tinyConfigOf('train.logEvery=1')
    let seen = 0
    // In the middle of the base model of the first arm.
    const stopAt = (event: JobEvent): boolean => event.event === 'step' && ++seen === 3
    const first = await go('stopped', { stopAt, config: logged })
    expect(first.done).toBe(false)
    const [stage1, base, ...others] = tinyDirs('stopped')
    expect(existsSync(join(stage1, runFiles.quality))).toBe(true)
    expect(existsSync(join(base, runFiles.quality))).toBe(false)
    expect(others.filter((dir) => existsSync(dir))).toEqual([])
    const finished = statSync(join(stage1, runFiles.quality)).mtimeMs
    const second = await go('stopped', { config: logged })
    expect(second.done).toBe(true)
    expect(steps(first.events) + steps(second.events)).toBe(8)
    expect(statSync(join(stage1, runFiles.quality)).mtimeMs).toBe(finished)
    for (const [i, dir] of tinyDirs('stopped').entries()) {
      expect(qualityIn(dir)).toEqual(qualityIn(tinyDirs('sweep')[i]))
    }
  })
})

it('directories have no spaces, equals signs or slashes', () => {
  expect(armFolder('path=a/b c  d')).toBe('path-a-b-c-d')
})
