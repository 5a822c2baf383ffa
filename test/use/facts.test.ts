/** @file What samples are asked for: names of classes, images of the data, rows of grids, and runs that are told nothing. */
import { describe, expect, it } from 'vitest'
import { applySettings, ConfigError, presetByName } from '../../src/config/load.ts'
import type { ImageSource } from '../../src/data/images/source.ts'
import { type Conditioned, choicesOf, generatesByClass, ofNoClass } from '../../src/model/choices.ts'
import { factsLike, factsNamed, gridFacts, gridRows } from '../../src/use/facts.ts'

const names = ['Animals & Nature', 'Flags', 'Food']
const runOf = (classes: readonly string[], ...settings: readonly string[]): Conditioned => ({
  config: applySettings(presetByName('quickstart'), settings),
  info: { classes },
})
const run = runOf(names)

/** Runs whose samples depend on no class, and why. */
const blind: Readonly<Record<string, Conditioned>> = {
  'data without classes': runOf([]),
  'a base model that never sees one': runOf(names, 'base.labelDropout=1'),
  'the prior of stage 1': runOf(names, 'sampler.generator=prior'),
}

/** Images of which the first has no class. */
const source: ImageSource = {
  name: 'three images',
  count: 3,
  size: 1,
  fingerprint: '',
  classes: names,
  label: (index) => index - 1,
  caption: () => '',
  id: String,
  read: async () => new Uint8Array(0),
}

describe('a run with classes', () => {
  it('offers each class by its name, in order', () => {
    expect(generatesByClass(run.config, names.length)).toBe(true)
    expect(choicesOf(run)).toEqual(names.map((name, label) => ({ name, facts: { label } })))
  })

  it('finds a class by its name, however it is capitalised, and nothing under "none"', () => {
    expect(names.map((name) => factsNamed(run, name))).toEqual([{ label: 0 }, { label: 1 }, { label: 2 }])
    expect(factsNamed(run, 'fLAGS')).toEqual({ label: 1 })
    expect(factsNamed(run, 'none')).toEqual({ label: -1 })
  })

  it.each([
    ['letters of both sizes', ['A', 'a', 'B', 'b']],
    ['words', ['Cat', 'cat', 'CAT', 'dog']],
    ['letters of other languages', ['Ä', 'ä']],
  ])('an exact name goes before one that differs in capitals: %s', (_, classes) => {
    const own = runOf(classes)
    expect(classes.map((name) => factsNamed(own, name))).toEqual(classes.map((_, label) => ({ label })))
  })

  it('a name that several have but for capitals is refused, one that one has is not', () => {
    const own = runOf(['Cat', 'CAT', 'dog'])
    expect(() => factsNamed(own, 'cat')).toThrow(
      '--class cat: the run has several classes of that name, Cat, CAT; write it as one of them',
    )
    expect(factsNamed(own, 'DOG')).toEqual({ label: 2 })
  })

  it.each([
    [['none', 'some'], { label: 0 }],
    [['some', 'none'], { label: 1 }],
    [['None', 'some'], { label: -1 }],
  ])('"none" is the class of that name, where there is one: %j', (classes, facts) => {
    const own = runOf(classes)
    expect(factsNamed(own, 'none')).toEqual(facts)
    expect(factsNamed(own, 'None')).toEqual(classes.includes('None') ? { label: 0 } : facts)
    expect(ofNoClass(own)).toEqual({ label: -1 })
  })

  it.each([21, 400, 1000])(
    'of %i classes a grid shows twenty, evenly, and messages name as many',
    (count) => {
      const own = runOf(Array.from({ length: count }, (_, i) => `c${i}`))
      const rows = gridRows(own)
      expect(rows).toHaveLength(20)
      expect(rows[10]).toEqual({ name: `c${Math.floor(count / 2)}`, facts: { label: Math.floor(count / 2) } })
      expect(gridFacts(own, 8)).toHaveLength(160)
      expect(choicesOf(own)).toHaveLength(count)
      expect(() => factsNamed(own, 'zebra crossing')).toThrow(`c19 and ${count - 19} more`)
    },
  )

  it.each([
    ['Flag', "the nearest is 'Flags' of"],
    ['nona', "the nearest is 'none' of"],
    ['zebra crossing', 'classes are'],
  ])('answers %s with what there is', (name, hint) => {
    expect(() => factsNamed(run, name)).toThrow(ConfigError)
    expect(() => factsNamed(run, name)).toThrow(
      `--class ${name}: the run has no such class; ${hint} Animals & Nature, Flags, Food, none`,
    )
  })

  it('draws samples like images by their labels, and a row of a grid for each class', () => {
    expect([0, 1, 2].map((index) => factsLike(run, source, index))).toEqual([
      { label: -1 },
      { label: 0 },
      { label: 1 },
    ])
    expect(gridFacts(run, 2)).toEqual([0, 0, 1, 1, 2, 2].map((label) => ({ label })))
    expect(gridFacts(run, 0)).toEqual([])
  })
})

describe.each(Object.keys(blind))('%s', (why) => {
  const own = blind[why]

  it('is told nothing: one choice, no label, a row of nothing', () => {
    expect(generatesByClass(own.config, own.info.classes.length)).toBe(false)
    // An image of no class, as the data has it; nothing at all where the model never was told anything.
    const facts = why === 'data without classes' ? { label: -1 } : null
    expect(choicesOf(own)).toEqual([{ name: 'none', facts }])
    expect(factsNamed(own, 'none')).toEqual(facts)
    expect(factsLike(own, source, 1)).toEqual(facts)
    expect(gridFacts(own, 3)).toEqual([facts, facts, facts])
  })

  it('refuses every class in words', () => {
    expect(() => factsNamed(own, 'Flags')).toThrow(ConfigError)
    expect(() => factsNamed(own, 'Flags')).toThrow(
      /^--class Flags: this run generates without classes; leave/,
    )
  })
})
