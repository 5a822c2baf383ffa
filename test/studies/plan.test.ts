/** @file The rate planner on run directories written by hand: what it reads, averages, refuses, plans and predicts. */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { applySettings, ConfigError, presetByName, showConfig } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import { describeModel } from '../../src/stages/info.ts'
import { keptNoise } from '../../src/studies/law/rateLaw.ts'
import { measuredRuns } from '../../src/studies/measuredRuns.ts'
import { planRuns } from '../../src/studies/plan.ts'
import { planText } from '../../src/studies/planText.ts'
import { temporaryFolder, writeFiles } from '../data/temporary.ts'
import { evaluationOf, info, protocol, qualityOf } from '../runs/written.ts'

/** ln R = −3 + 0.7·(b − u). */
const lawRate = (lossFactor: number, bias: number): number =>
  Math.exp(-3 + 0.7 * (bias - keptNoise(lossFactor)))

interface WrittenRun {
  readonly c: number
  readonly b?: number
  /** Rate, the law's own when absent. */
  readonly rate?: number
  readonly error?: number
  readonly set?: readonly string[]
  /** Fréchet distance of quality.json. */
  readonly frechet?: number
  readonly network?: string
}

const base = smokeForm(presetByName('study'))

/** Writes runs under a fresh folder: name → run. */
const writeRuns = async (runs: Readonly<Record<string, WrittenRun>>): Promise<string> => {
  const root = await temporaryFolder()
  const files: Record<string, string> = {}
  for (const [name, { c, b = 2, rate = lawRate(c, b), error = 0.01, set = [], ...run }] of Object.entries(
    runs,
  )) {
    const settings = [
      `decoder.lossFactor=${c}`,
      `decoder.bias=${b}`,
      `name=${name.replace('/', '-')}`,
      ...set,
    ]
    files[`${name}/config.yaml`] = showConfig(applySettings(base, settings))
    files[`${name}/run.json`] = JSON.stringify(info)
    files[`${name}/evaluation.json`] = JSON.stringify(evaluationOf(rate, 20, error))
    if (run.frechet !== undefined)
      files[`${name}/quality.json`] = JSON.stringify({
        ...qualityOf(null, run.frechet),
        protocol: { ...protocol, network: run.network ?? 'mixed5', guidance: 2 },
      })
  }
  await writeFiles(root, files)
  return root
}

describe('planRuns', () => {
  it('marks what lies beyond the biases of the runs', async () => {
    const root = await writeRuns({ one: { c: 1.5 }, two: { c: 3 }, three: { c: 5 } })
    const inside = planRuns({ dirs: [root], bias: 2, lossFactor: 2.5 })
    expect(inside.prediction!.extrapolated).toBe(false)
    // The same place on the law's line, with a bias that no run had.
    const bias = 3 - keptNoise(2.5) + keptNoise(1.5)
    const beyond = planRuns({ dirs: [root], bias: bias - 1, lossFactor: 1.5 })
    expect(beyond.prediction!.bitsPerPixel).toBeCloseTo(inside.prediction!.bitsPerPixel, 9)
    expect(beyond.prediction!.extrapolated).toBe(true)
    const text = planText(planRuns({ dirs: [root], bitsPerPixel: lawRate(2.5, 2) }))
    expect(text).toMatch(/proposed: loss factor 2\.5 .*at bias 2$/m)
    expect(text).toMatch(/or: bias .* at loss factor 3, beyond the measured runs$/m)
  })

  it('counts one stage 1 once, however many runs pass it on', async () => {
    const passed = (from: string) => [`train.stage1.from=../${from}`, 'train.lr=1e-5']
    const root = await writeRuns({
      a: { c: 1.5 },
      b: { c: 1.5, set: passed('a') },
      c: { c: 1.5, set: passed('b') },
      other: { c: 3 },
    })
    const { settings } = planRuns({ dirs: [root], bitsPerPixel: 0.1 })
    expect(settings.map(({ lossFactor, runs, error }) => [lossFactor, runs.length, error])).toEqual([
      [1.5, 1, 0.01],
      [3, 1, 0.01],
    ])
  })

  it('finds the law of runs at any depth and the loss factor for a rate', async () => {
    const root = await writeRuns({ 'a/one': { c: 1.5 }, 'a/deep/two': { c: 3 }, three: { c: 5 } })
    const { law, settings, plan, budget, check, prediction, leftOut } = planRuns({
      dirs: [root, path.join(root, 'a')],
      bitsPerPixel: lawRate(2.5, 2),
    })
    expect([law.a, law.k]).toEqual([expect.closeTo(-3, 9), expect.closeTo(0.7, 9)])
    expect(settings.map(({ lossFactor, runs }) => [lossFactor, runs.length])).toEqual([
      [1.5, 1],
      [3, 1],
      [5, 1],
    ])
    expect(settings[1].fitted).toBeCloseTo(settings[1].bitsPerPixel, 9)
    expect(plan!.set).toEqual(['decoder.lossFactor=2.5', 'decoder.bias=2'])
    expect(plan!.atLossFactor).toMatchObject({
      lossFactor: 3,
      bias: expect.closeTo(2 - keptNoise(2.5) + keptNoise(3), 6),
    })
    expect([budget, check, prediction, leftOut]).toEqual([null, null, null, []])
  })

  it('plans the bias at a given loss factor, or the loss factor at a given bias', async () => {
    const dirs = [await writeRuns({ one: { c: 2, b: 1 }, two: { c: 2, b: 3 } })]
    const rate = lawRate(3, 1.5)
    expect(planRuns({ dirs, bitsPerPixel: rate, lossFactor: 3 }).plan!.set).toEqual([
      'decoder.lossFactor=3',
      'decoder.bias=1.5',
    ])
    expect(planRuns({ dirs, bitsPerPixel: rate, bias: 1.5 }).plan!.set).toEqual([
      'decoder.lossFactor=3',
      'decoder.bias=1.5',
    ])
    // A setting given whole has a rate, nothing to plan.
    const { plan, prediction } = planRuns({ dirs, lossFactor: 3, bias: 1.5 })
    expect(plan).toBeNull()
    expect(prediction).toMatchObject({ bitsPerPixel: expect.closeTo(rate, 9), extrapolated: false })
    expect(planText(planRuns({ dirs, lossFactor: 3, bias: 1.5 }))).toMatch(
      /c_lf 3, b 1\.5: 0\.\d+ bits\/pixel, by measuring errors alone 0\.\d+ to 0\.\d+$/,
    )
    expect(() => planRuns({ dirs, bitsPerPixel: rate, lossFactor: 3, bias: 1.5 })).toThrow(ConfigError)
    expect(() => planRuns({ dirs, lossFactor: 3 })).toThrow(ConfigError)
  })

  it('averages seeds, with the error over them', async () => {
    const rate = lawRate(2, 2)
    const root = await writeRuns({
      s0: { c: 2, rate: 0.9 * rate },
      s1: { c: 2, rate: 1.1 * rate, set: ['seed=1'] },
      other: { c: 4, error: 0.03 },
    })
    const { law, settings } = planRuns({ dirs: [root] })
    expect(settings.map(({ bitsPerPixel, error, runs }) => [bitsPerPixel, error, runs.length])).toEqual([
      [expect.closeTo(rate, 9), expect.closeTo(0.1 * rate, 9), 2],
      [expect.closeTo(lawRate(4, 2), 9), 0.03, 1],
    ])
    expect(law.k).toBeCloseTo(0.7, 9)
    expect(law.line.fit.errorsFrom).toBe('points')
  })

  it('predicts runs that are held out, also where they lie among the others', async () => {
    const root = await writeRuns({
      ...{ a: { c: 1.5, rate: 1.01 * lawRate(1.5, 2) }, b: { c: 2, rate: 0.98 * lawRate(2, 2) } },
      ...{ c: { c: 3, rate: 1.02 * lawRate(3, 2) }, d: { c: 5, rate: 0.99 * lawRate(5, 2) } },
      ...{ 'held/near': { c: 2.5 }, 'held/off': { c: 4, rate: 2 * lawRate(4, 2) } },
    })
    const plan = planRuns({ dirs: [root], check: [path.join(root, 'held')] })
    expect(plan.settings).toHaveLength(4)
    const [near, off] = plan.check!.settings
    expect(Math.abs(near.relativeError)).toBeLessThan(0.03)
    expect(near.inside).toBe(true)
    expect(off.relativeError).toBeCloseTo(-0.5, 1)
    expect(off.inside).toBe(false)
    expect(plan.check!.largestError).toBe(-off.relativeError)
    const [a, c] = ['a', 'c'].map((name) => path.join(root, name)) as [string, string]
    const rest = planRuns({ dirs: [a, c], check: [root] })
    expect(rest.settings.map(({ lossFactor }) => lossFactor)).toEqual([1.5, 3])
    expect(rest.check!.settings.map(({ measured }) => measured.lossFactor)).toEqual([2, 2.5, 4, 5])
    expect(planText(rest)).toMatch(/two settings: errors and intervals from their measuring errors alone/)
    expect(() => planRuns({ dirs: [root], check: [root] })).toThrow(/every run is held out/)
    expect(planText(plan)).toMatch(/largest error (49|50|51)\.\d%, 1 of 2 inside the interval$/)
  })

  it('bends where four settings or more show it, and says by how much that is better', async () => {
    const bent = (c: number): number => Math.exp(-2 - 0.5 * keptNoise(c) - 0.06 * keptNoise(c) ** 2)
    const runs = Object.fromEntries([1.5, 2, 3, 5, 8].map((c) => [`c${c}`, { c, rate: bent(c) }]))
    const root = await writeRuns({ ...runs, 'held/c4': { c: 4, rate: bent(4) } })
    const plan = planRuns({ dirs: [root], check: [path.join(root, 'held')], bitsPerPixel: bent(4) })
    expect(plan.plan!.set).toEqual(['decoder.lossFactor=4', 'decoder.bias=2'])
    expect(plan.check!.largestError).toBeLessThan(1e-6)
    expect(planText(plan)).toMatch(
      /^ {2}the line misses settings that are left out by up to \d\d\.\d%; predicted by ln R of 1, x, x² with x = b − u\(c_lf\): by up to 0\.0%$/m,
    )
    const three = planRuns({ dirs: ['c1.5', 'c3', 'c8'].map((name) => path.join(root, name)) })
    expect(planText(three)).toMatch(
      /^ {2}the line misses them by up to 13\.9%; with a fourth setting it may bend$/m,
    )
  })

  it('leaves out what is unfinished or not the plain method, and says so', async () => {
    const root = await writeRuns({
      ...{ a: { c: 2 }, b: { c: 3 } },
      ...{ kl: { c: 3, rate: 9, set: ['variant.klWeight=0.1'] }, low: { c: 1, rate: 0.001 } },
    })
    await writeFiles(root, { 'open/config.yaml': showConfig(base) })
    const plan = planRuns({ dirs: [root] })
    expect(plan.settings).toHaveLength(2)
    expect(plan.leftOut.map(({ dir, reason }) => [path.basename(dir), reason])).toEqual([
      ['kl', "variant.klWeight is 0.1, and the law is the plain method's"],
      ['low', 'decoder.lossFactor 1 puts nothing into the latent'],
      ['open', 'it has no evaluation.json, so it is not finished'],
    ])
    expect(planText(plan)).toContain(`left out ${path.join(root, 'open')}: it has no evaluation.json`)
  })

  it('refuses runs of different kinds, naming the first key', async () => {
    const root = await writeRuns({
      ...{ a: { c: 2 }, b: { c: 3, set: ['train.stage2.lr=1e-4', 'base.bias=1', 'sampler.steps=3'] } },
      ...{ c: { c: 4, set: ['latent.channels=4'] }, d: { c: 4, set: ['train.stage1.steps=9'] } },
    })
    const at = (...names: string[]) => ({ dirs: names.map((name) => path.join(root, name)) })
    expect(planRuns(at('a', 'b')).settings).toHaveLength(2)
    expect(() => planRuns(at('a', 'b', 'c'))).toThrow(
      /^the runs follow different laws: 2 of 3 are like \S+a, but \S+c has another latent\.channels \(8 and 4\); give/,
    )
    expect(() => planRuns({ ...at('a', 'b'), check: at('d').dirs })).toThrow(
      /train\.stage1\.steps \(60 and 9\)/,
    )
  })

  it('refuses files that do not read', async () => {
    const root = await writeRuns({ a: { c: 2 } })
    await writeFiles(root, { 'a/evaluation.json': '{' })
    expect(() => measuredRuns([root])).toThrow(/evaluation\.json: this is not JSON/)
    const evaluation = evaluationOf(1)
    await writeFiles(root, { 'a/evaluation.json': JSON.stringify({ ...evaluation, bitsPerPixel: 3 }) })
    expect(() => measuredRuns([root])).toThrow(
      /evaluation\.json: 'bitsPerPixel': .*expected object.*; measure the run again with 'ul train'/,
    )
    await writeFiles(root, { 'a/evaluation.json': JSON.stringify(evaluationOf(0)) })
    expect(() => measuredRuns([root])).toThrow(/bitsPerPixel\.mean is 0, not above 0; remove that run/)
    expect(() => measuredRuns([path.join(root, 'nowhere')])).toThrow(/there is no such directory/)
    const [good, empty] = [await writeRuns({ a: { c: 2 }, b: { c: 3 } }), await temporaryFolder()]
    expect(() => planRuns({ dirs: [good], check: [empty] })).toThrow(/there is no finished run to check/)
  })
})

describe('planRuns for a budget', () => {
  const loss = [1.5, 2, 3] as const
  const small = 100
  const best = lawRate(2, 2)
  const distance = (c: number, optimum: number): number => 3 + Math.log(lawRate(c, 2) / optimum) ** 2

  /** Three stages 1, each with a small base model of its own and a large one on the same latents. */
  const models = async (network = 'mixed5'): Promise<readonly [string, string]> => {
    const own = Object.fromEntries(
      loss.map((c) => [`own-${c}`, { c, frechet: distance(c, best), set: [`train.stage2.steps=${small}`] }]),
    )
    const root = await writeRuns(own)
    const second = await writeRuns(
      Object.fromEntries(
        loss.map((c) => [
          `large-${c}`,
          {
            c,
            // Measured again with other noise: not another stage 1.
            rate: lawRate(c, 2) * 1.0001,
            frechet: distance(c, 1.2 * best),
            network,
            set: [
              `train.stage2.steps=${10 * small}`,
              'train.stage1.steps=1',
              // Seen from the run's own directory, as sweeps write it.
              `train.stage1.from=${path.join('..', '..', path.basename(root), `own-${c}`)}`,
            ],
          },
        ]),
      ),
    )
    return [root, second]
  }

  it('finds the best rate of a base model between two budgets, and the setting for it', async () => {
    const dirs = await models()
    const flops = 1e9 * small * describeModel(base, 2).stages[1].gflopsPerStep
    const plan = planRuns({ dirs, budget: flops * Math.sqrt(10) })
    // A base model on another run's stage 1 is no further run of that setting.
    expect(plan.settings.map(({ lossFactor, runs }) => [lossFactor, runs.length])).toEqual(
      loss.map((c) => [c, 1]),
    )
    expect(plan.budget!.law.optima).toMatchObject([
      { runs: 3, trainingFlops: expect.closeTo(flops, -6), bitsPerPixel: expect.closeTo(best, 6) },
      { runs: 3, trainingFlops: expect.closeTo(10 * flops, -6), bitsPerPixel: expect.closeTo(1.2 * best, 3) },
    ])
    expect(plan.budget).toMatchObject({
      bitsPerPixel: expect.closeTo(Math.sqrt(1.2) * best, 3),
      low: null,
      extrapolated: false,
    })
    expect(plan.plan!.wanted).toBe(plan.budget!.bitsPerPixel)
    expect(plan.plan!.proposal.lossFactor).toBeGreaterThan(2)
    expect(plan.plan!.proposal.lossFactor).toBeLessThan(3)
    expect(planText(plan)).toMatch(/best for \S+ training FLOPs: /)
    expect(planText(planRuns({ dirs, budget: 100 * flops }))).toMatch(/FLOPs.*, beyond the measured runs/)
    expect(() => planRuns({ dirs, budget: flops, bitsPerPixel: 1 })).toThrow(ConfigError)
  })

  it('says what is missing, and refuses distances of different networks', async () => {
    const [first] = await models()
    expect(() => planRuns({ dirs: [first], budget: 1e15 })).toThrow(/takes two budgets.*best at/)
    const mixed = await models('other')
    expect(() => planRuns({ dirs: mixed, budget: 1e15 })).toThrow(
      /do not compare, protocol\.network is "mixed5" and "other"/,
    )
  })
})
