import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { colourCount, openLooks } from '../../../site/src/studio/data/colours.ts'
import { finishedStep, imageAt, stepsOf } from '../../../site/src/studio/data/images.ts'
import { inOrder, metricLabel } from '../../../site/src/studio/data/metricNames.ts'
import {
  changed,
  changesIn,
  commandOf,
  fieldGroups,
  freeName,
  placedErrors,
  setOf,
} from '../../../site/src/studio/data/newRun.ts'
import {
  devices,
  firstState,
  type PageState,
  parts,
  queryOf,
  stateIn,
  views,
} from '../../../site/src/studio/data/pageState.ts'
import { placeOf, rateAt, ratesAround } from '../../../site/src/studio/data/rates.ts'
import { axesOf, foldersOf, marksOf, nearest } from '../../../site/src/studio/data/scatter.ts'
import { isWhole, moved, zoomed } from '../../../site/src/studio/data/zoom.ts'
import type { FormField, RunImage, ScatterPoint } from '../../../src/studio/api.ts'

describe('colours of runs', () => {
  const names = fc.uniqueArray(fc.string({ minLength: 1 }), { maxLength: 40 })

  it('stay when other runs appear, and over a reload', () => {
    fc.assert(
      fc.property(names, (runs) => {
        const looks = openLooks()
        const first = runs.map((run) => looks.of(run))
        for (const run of ['more', 'and more']) looks.of(run)
        expect(runs.map((run) => looks.of(run))).toEqual(first)
        const reloaded = openLooks(JSON.parse(JSON.stringify(looks.given())))
        expect([...runs].reverse().map((run) => reloaded.of(run))).toEqual([...first].reverse())
      }),
    )
  })

  it('are all different, in as few rounds of dashes as there must be', () => {
    fc.assert(
      fc.property(names, (runs) => {
        const looks = openLooks()
        const given = runs.map((run) => looks.of(run))
        expect(new Set(given.map(({ colour, round }) => `${colour} ${round}`)).size).toBe(runs.length)
        for (const { round } of given) expect(round).toBeLessThan(Math.ceil(runs.length / colourCount))
      }),
    )
  })

  it('follow from the name alone where nothing is in the way', () => {
    const alone = (run: string) => openLooks().of(run)
    expect(alone('sweep/a')).toEqual(alone('sweep/a'))
    expect(new Set(Array.from({ length: 60 }, (_, i) => alone(`run-${i}`).colour)).size).toBe(colourCount)
  })
})

describe("the page's address", () => {
  const word = fc.string({ minLength: 1 })
  const state: fc.Arbitrary<PageState> = fc.record({
    view: fc.constantFrom(...views),
    run: fc.option(word),
    part: fc.constantFrom(...parts),
    device: fc.constantFrom(...devices),
    shown: fc.uniqueArray(word),
    order: fc.record({ key: word.filter((key) => !key.startsWith('-')), isDown: fc.boolean() }),
    search: fc.string(),
    zoom: fc.option(
      fc.record({
        stage: fc.constantFrom('stage1', 'a:1'),
        from: fc.nat(999),
        to: fc.integer({ min: 1000, max: 1e6 }),
      }),
    ),
    smooth: fc.constantFrom(0, 0.6, 0.99),
    log: fc.uniqueArray(word),
    kind: fc.option(word),
    step: fc.option(fc.nat()),
    below: fc.string(),
    x: fc.string(),
    y: fc.string(),
    rate: fc.option(fc.constantFrom(0.25, 1e-3, 7)),
    budget: fc.string(),
    preset: fc.string(),
    set: fc.uniqueArray(word),
    as: fc.string(),
  })

  it('says every state, and a reload reads the same', () => {
    fc.assert(
      fc.property(state, (given) => {
        expect(stateIn(queryOf(given))).toEqual(given)
      }),
    )
  })

  it('is empty where nothing is chosen', () => {
    expect(queryOf(firstState)).toBe('')
    expect(stateIn('')).toEqual(firstState)
  })

  it('is as it is first where it does not read', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(views).toContain(stateIn(text).view)
      }),
    )
    const wrong = stateIn('view=nowhere&smooth=7&zoom=stage1:9:2&step=-4&sort=')
    expect(wrong).toEqual({ ...firstState, order: { key: '', isDown: false } })
  })
})

describe('zoom', () => {
  const whole = [0, 1000] as const
  it('keeps the step that it is around where it is', () => {
    expect(zoomed(whole, whole, 0.5, 250)).toEqual([125, 625])
    expect(zoomed([100, 200], whole, 2, 200)).toEqual([0, 200])
  })
  it('stays within what there is, and wide enough to see', () => {
    expect(zoomed(whole, whole, 3, 500)).toEqual([0, 1000])
    expect(zoomed([10, 12], whole, 0.1, 11)).toEqual([10, 12])
    expect(moved([100, 300], whole, -1)).toEqual([0, 200])
    expect(moved([700, 900], whole, 1)).toEqual([800, 1000])
    expect(isWhole([0, 1000], whole)).toBe(true)
    expect(isWhole([0, 999], whole)).toBe(false)
  })
})

const field = (key: string): FormField => ({
  key,
  kind: 'number',
  description: '',
  choices: [],
  optional: false,
})

describe('the form of a new run', () => {
  const fields = [
    'name',
    'decoder.lossFactor',
    'train.stage1.steps',
    'train.lr',
    'train.stage1.emaDecay',
  ].map(field)
  const preset = { 'decoder.lossFactor': '8', 'train.lr': '0.001', 'data.path': 'null' }

  it('sends what differs from the preset, in the order of the form', () => {
    const once = changed({}, 'train.lr', '0.01', preset)
    const twice = changed(once, 'decoder.lossFactor', '4', preset)
    expect(setOf({ unknown: 'x', ...twice }, fields)).toEqual([
      'decoder.lossFactor=4',
      'train.lr=0.01',
      'unknown=x',
    ])
    expect(changed(twice, 'train.lr', '0.001', preset)).toEqual({ 'decoder.lossFactor': '4' })
    expect(changesIn(['a=b=c', 'd'])).toEqual({ a: 'b=c', d: '' })
  })

  it('has errors beside their fields, all others at the end, none lost', () => {
    const errors = { 'train.lr': 'too large', run: 'taken', '': 'two things clash', 'base.gone': 'not known' }
    expect(placedErrors({ errors }, fields)).toEqual({
      byKey: { 'train.lr': 'too large', run: 'taken' },
      others: ['two things clash', 'base.gone: not known'],
    })
  })

  it('groups fields by the part of the configuration that they are of', () => {
    const groups = fieldGroups({ fields, presets: {} }).map(([name, own]) => [
      name,
      own.map(({ key }) => key),
    ])
    expect(groups).toEqual([
      ['run', ['name']],
      ['decoder', ['decoder.lossFactor']],
      ['train.stage1', ['train.stage1.steps', 'train.stage1.emaDecay']],
      ['train', ['train.lr']],
    ])
  })

  it('proposes a name that is free', () => {
    expect(freeName('study', new Set())).toBe('study')
    expect(freeName('study', new Set(['study', 'study-2']))).toBe('study-3')
  })

  it('names the device where it is not the usual one', () => {
    const request = { preset: 'study', set: [], run: 'a' }
    expect(commandOf({ ...request, device: 'cuda' }, 'runs')).toBe(
      'ul train study --device cuda --out runs/a',
    )
    expect(commandOf({ ...request, device: 'cpu' }, 'runs')).toBe('ul train study --out runs/a')
  })

  it('is a command that a shell reads as it was meant', () => {
    const request = { preset: 'study', set: ["data.path=/my images/o'hara", 'seed=1'], run: 'a/b' }
    expect(commandOf(request, 'runs/')).toBe(
      `ul train study --set 'data.path=/my images/o'\\''hara' --set seed=1 --out runs/a/b`,
    )
  })
})

describe('images over steps', () => {
  const image = (kind: string, step: number | null): RunImage => ({
    kind,
    step,
    url: `/files/${kind}/${step}`,
  })
  const images = [
    image('samples', 500),
    image('samples', null),
    image('samples', 1000),
    image('reconstructions', 250),
  ]

  it('has the steps of all runs, the finished one last', () => {
    expect(stepsOf([images, [image('samples', 750)]], 'samples')).toEqual([500, 750, 1000, finishedStep])
  })

  it('shows what a run had by then', () => {
    const at = (step: number) => imageAt(images, 'samples', step)?.step
    expect([at(499), at(500), at(999), at(1000), at(finishedStep)]).toEqual([undefined, 500, 500, 1000, null])
  })
})

describe('the scatter', () => {
  const point = (
    run: string,
    figures: Record<string, number>,
    baseFlops: number | null = null,
  ): ScatterPoint => ({
    run,
    settings: {},
    figures,
    baseFlops,
  })
  const points = [
    point('b', { bitsPerPixel: 0.5, psnr: 30, gFD: 9 }, 1e15),
    point('a', { bitsPerPixel: 0.1, psnr: 24 }),
    point('c', { psnr: 10 }, 0),
  ]

  it('has the runs that have both numbers, from left to right', () => {
    expect(marksOf(points, 'bitsPerPixel', 'psnr').map(({ point: { run }, x, y }) => [run, x, y])).toEqual([
      ['a', 0.1, 24],
      ['b', 0.5, 30],
    ])
    expect(marksOf(points, 'baseFlops', 'psnr').map(({ point: { run } }) => run)).toEqual(['b'])
    expect(axesOf(points)).toEqual(['bitsPerPixel', 'psnr', 'gFD', 'baseFlops'])
  })

  it('means the mark that is nearest, if it is near', () => {
    const marks = marksOf(points, 'bitsPerPixel', 'psnr')
    const at = ({ x, y }: { x: number; y: number }) => [x * 100, y] as const
    expect(nearest(marks, at, [12, 25], 10)).toBe(0)
    expect(nearest(marks, at, [48, 31], 10)).toBe(1)
    expect(nearest(marks, at, [30, 27], 10)).toBeNull()
    expect(nearest([], at, [0, 0], 10)).toBeNull()
  })

  it('knows the folders that hold several runs', () => {
    expect(foldersOf(['s/a/seed-0', 's/a/seed-1', 's/b/seed-0', 'alone/x', 'top'])).toEqual(['s', 's/a'])
  })
})

describe('the slider of the planner', () => {
  const rated = (bitsPerPixel: number): ScatterPoint => ({
    ...{ run: '', settings: {}, baseFlops: null },
    figures: { bitsPerPixel },
  })

  it('reaches a quarter beyond what was measured, evenly in factors', () => {
    const rates = ratesAround([rated(0.2), rated(0.8), { ...rated(0), figures: {} }])
    expect(rates).toEqual([0.16, 1])
    expect(rates && [0, 0.5, 1].map((place) => rateAt(rates, place))).toEqual([0.16, 0.4, 1])
    expect(rates && placeOf(rates, 0.4)).toBeCloseTo(0.5, 12)
    expect(rates && [placeOf(rates, 0.01), placeOf(rates, 9)]).toEqual([0, 1])
  })

  it('is not there without a measured rate', () => {
    expect(ratesAround([{ ...rated(0), figures: { psnr: 20 } }])).toBeNull()
  })
})

describe('names of metrics', () => {
  it('have their unit, and are spelled out where they are not known', () => {
    expect(metricLabel('bitsPerPixel')).toBe('Latent rate, bits/pixel')
    expect(metricLabel('encoderGradNorm')).toBe('encoder grad norm')
    expect(inOrder(['zeta', 'lr', 'psnr', 'alpha', 'bitsPerPixel', 'psnr'])).toEqual([
      ...['bitsPerPixel', 'psnr', 'lr', 'alpha', 'zeta'],
    ])
  })
})
