/** @file Configurations and sweeps that ask for more than can be: refused in one sentence, at once. */
import { expect, it } from 'vitest'
import { applySettings, ConfigError, parseConfig, presetByName } from '../../src/config/load.ts'
import { gridArms, parseSweep } from '../../src/config/sweepFile.ts'

/** The sentence with which something is refused, and not slower than two seconds. */
const refusal = (work: () => unknown): string => {
  const start = performance.now()
  try {
    work()
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    expect(performance.now() - start).toBeLessThan(2000)
    return (error as ConfigError).message
  }
  throw new Error('it was taken')
}

const quickstart = presetByName('quickstart')

it.each([
  'prior.blocks=1000000',
  'base.blocks=[1, 1000000]',
  'encoder.lastBlocks=513',
  'base.uvit.channels=[100000]',
  'decoder.convBlocks=1e6',
  'prior.width=70000',
  `encoder.channels=[${Array(17).fill(8)}]`,
  'sampler.steps=1000000000',
  'sampler.decoderSteps=10001',
])('%s', (setting) => {
  expect(refusal(() => applySettings(quickstart, [setting]))).toMatch(/: too big: .*; correct that value$/)
})

const long = 'x'.repeat(200_000)
const laughs = `a: &a [x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 8 }, (_, i) => {
  const [own, before] = ['bcdefghi'[i], 'abcdefgh'[i]]
  return `${own}: &${own} [${Array(9).fill(`*${before}`)}]`
}).join('\n')}`

it.each([
  ['a key of 200,000 characters', `${long}: 1`],
  ['a name of 200,000 characters for a preset', `preset: ${long}`],
  ['aliases that multiply', laughs],
  ['an alias of nothing', 'name: *nothing'],
  ['brackets within brackets', '['.repeat(200_000)],
  ['lists within lists', '- '.repeat(200_000)],
  ['keys within keys', '? '.repeat(200_000)],
  ['maps within maps', '{a: '.repeat(100_000)],
  ['a tab as indentation', 'data:\n\tsize: 3'],
  ['a key twice', 'seed: 1\nseed: 2'],
  ['a text of two million characters', `name: ${'x'.repeat(2 ** 21)}`],
])('%s', (_, text) => {
  for (const work of [() => parseConfig(text, 'f.yaml'), () => parseSweep(text, 'f.yaml')])
    expect(refusal(work)).toMatch(/^(f\.yaml|there is no preset)/)
})

it('faults of YAML are told in our words, with the place', () => {
  expect(refusal(() => parseConfig('seed: 1\nseed: 2', 'f.yaml'))).toBe(
    'f.yaml:2:1: this is not YAML: found a key for the second time; correct that place',
  )
  expect(refusal(() => applySettings(quickstart, ['seed=[1']))).toBe(
    '--set seed=[1: this is not YAML: found something that lacks a quote, a bracket, a comma or a space; correct that place',
  )
})

it('a grid of more settings than anybody trains', () => {
  const axes = Array.from({ length: 12 }, (_, i) => `k${i}=1,2,3`)
  expect(refusal(() => gridArms(axes))).toBe('--grid: more than 1000 settings; vary less at once')
})
