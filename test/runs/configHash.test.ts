/** @file The hash of what a run trains: the same for the same settings, however they are written down. */
import { describe, expect, it } from 'vitest'
import { applySettings, parseConfig, showConfig } from '../../src/config/load.ts'
import { presets } from '../../src/config/presets.ts'
import type { Config } from '../../src/config/schema.ts'
import { configHash } from '../../src/runs/configHash.ts'

/** The same tree with the keys of every level the other way round. */
const reversed = <T>(tree: T): T =>
  typeof tree === 'object' && tree !== null && !Array.isArray(tree)
    ? (Object.fromEntries(
        Object.entries(tree)
          .reverse()
          .map(([key, value]) => [key, reversed(value)]),
      ) as T)
    : tree

describe.each(Object.entries(presets))('the hash of %s', (_, preset) => {
  it('is that of what its run keeps, in any order of keys', () => {
    const kept: Config = parseConfig(showConfig(preset), 'config.yaml')
    for (const own of [kept, reversed(kept), reversed(preset)])
      expect(configHash(own)).toBe(configHash(preset))
  })

  it('changes with what is trained, and not with what is shown', () => {
    expect(configHash(applySettings(preset, ['train.lr=0.5']))).not.toBe(configHash(preset))
    expect(configHash(applySettings(preset, ['decoder.deviation=0.7']))).not.toBe(configHash(preset))
    expect(configHash(applySettings(preset, ['train.logEvery=7', 'sampler.steps=3']))).toBe(
      configHash(preset),
    )
  })
})
