/** @file Links to the playground: what is set comes back, defaults are left out, and nothing that is typed breaks it. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  counts,
  defaults,
  hashOf,
  mostSteps,
  type Settings,
  settingsIn,
} from '../../site/src/playground/settings.ts'

const steps = fc.option(fc.integer({ min: 1, max: mostSteps }))
const anySettings: fc.Arbitrary<Settings> = fc.record({
  tab: fc.constantFrom('reconstruct', 'generate', 'interpolate', 'repaint'),
  image: fc.string(),
  other: fc.string(),
  fit: fc.constantFrom('crop', 'pad'),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  decoderSteps: steps,
  latentSteps: steps,
  guidance: fc.option(fc.integer({ min: 0, max: 80 }).map((quarters) => quarters / 4)),
  choice: fc.string(),
  count: fc.constantFrom(...counts),
  mix: fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100),
  view: fc.oneof(fc.constant('pca' as const), fc.integer({ min: 0, max: 4095 })),
  device: fc.constantFrom('auto', 'wasm', 'webgpu'),
})

it('holds settings and gives them back', () => {
  fc.assert(
    fc.property(anySettings, (settings) => {
      expect(settingsIn(hashOf(settings))).toEqual(settings)
    }),
  )
})

it('says only what is not so anyway', () => {
  expect(hashOf(defaults)).toBe('')
  expect(settingsIn('')).toEqual(defaults)
  expect(hashOf({ ...defaults, tab: 'generate', choice: 'Food & Drink', seed: 7 })).toBe(
    '#tab=generate&seed=7&choice=Food+%26+Drink',
  )
})

it('takes what does not read as if it were not said, and the rest as it is', () => {
  expect(
    settingsIn('#tab=nothing&seed=-1&count=5&guidance=&mix=2&view=red&decoderSteps=1.5&seed2=1&fit=pad'),
  ).toEqual({
    ...defaults,
    fit: 'pad',
  })
  fc.assert(
    fc.property(fc.string(), (text) => {
      const settings = settingsIn(text)
      expect(settingsIn(hashOf(settings))).toEqual(settings)
    }),
  )
})
