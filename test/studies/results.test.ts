/**
 * @file Tables and figures in docs and experiments are what the results of the runs give. With `-u` this file writes
 * docs/experiments/*.csv and the marked blocks of docs/results.md anew.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { findRuns } from '../../src/runs/findRuns.ts'
import { leavesOf } from '../../src/runs/settings.ts'
import { compareReport } from '../../src/studies/compareReport.ts'
import {
  filled,
  interpolated,
  meanOf,
  resultsOf,
  settingOf,
  settingsOf,
  sweepOf,
  tables,
} from './resultTables.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const csvs = readdirSync(join(root, 'docs/experiments')).filter((name) => name.endsWith('.csv'))

describe('docs/experiments', () => {
  it.each(csvs)('%s is the report of its runs', async (csv) => {
    const name = csv.replace('.csv', '')
    const report = await compareReport([resultsOf(name)], sweepOf(name))
    await expect(report.csv).toMatchFileSnapshot(join(root, 'docs/experiments', csv))
  })
})

describe('docs/results.md', () => {
  const file = join(root, 'docs/results.md')

  it('has the tables that the results give', async () => {
    await expect(filled(readFileSync(file, 'utf8'))).toMatchFileSnapshot(file)
  })

  it('has every table once', () => {
    const names = [...readFileSync(file, 'utf8').matchAll(/<!-- generated: (\S+) -->/g)].map(
      ([, name]) => name,
    )
    expect(names.sort()).toEqual(Object.keys(tables).sort())
  })
})

/** The rate at which biases are compared. */
const rate = 0.4
const psnrAtRate = (b: string): number =>
  interpolated(
    settingsOf('bias')
      .filter(({ values }) => values.get('decoder.bias') === b)
      .map((setting) => [meanOf(setting, 'bits/pixel'), meanOf(setting, 'PSNR')] as const),
    rate,
  )

/** By how many percent fewer FLOPs base models on the latents of an arm have a gFD of those of another, interpolated over ln FLOPs. */
const fewerFlops = (name: string, arm: string, other: string, base: string): number => {
  const settings = settingsOf(name)
  const there = settingOf(settings, other, base)
  const points = settings
    .filter(({ values }) => values.get('arm') === arm)
    .map((setting) => [meanOf(setting, 'gFD'), Math.log(meanOf(setting, 'base training FLOPs'))] as const)
  const needed = Math.exp(interpolated(points, meanOf(there, 'gFD')))
  return 100 * (1 - needed / meanOf(there, 'base training FLOPs'))
}

/** As `fewerFlops` of UL latents with a squared-error decoder, as a KL-VAE has. */
const withSameDecoder = (base: string): number =>
  fewerFlops('efficiency', 'UL latents, MSE decoder', 'KL-VAE latents', base)

/** What findings say that no single value is. */
const derived: Readonly<Record<string, () => readonly number[]>> = {
  bias: () => [rate, psnrAtRate('1.8') - psnrAtRate('2.8'), psnrAtRate('2.8') - psnrAtRate('3.8')],
  efficiency: () => [withSameDecoder('1200 steps'), withSameDecoder('3600 steps')],
  'claim-efficiency': () => [
    fewerFlops('claim-efficiency', 'UL latents', 'KL-VAE latents', '5000 steps'),
    fewerFlops('claim-efficiency', 'UL latents', 'KL-VAE latents', '15000 steps'),
  ],
  'ablations-more': () => [meanOf(settingOf(settingsOf('ablations'), 'baseline'), 'gFD')],
}

/** Values and settings of an experiment, as findings may state them. */
const numbersOf = (name: string): readonly number[] => {
  const settings = findRuns([resultsOf(name)]).flatMap((run) =>
    leavesOf(run.config()).flatMap(([, value]) => (typeof value === 'number' ? [value] : [])),
  )
  const figures = settingsOf(name).flatMap((setting) => [...setting.figures.values()].map(({ mean }) => mean))
  return [...new Set([...settings, ...figures, ...(derived[name]?.() ?? [])])]
}

describe('what experiments say they found', () => {
  it.each(csvs.map((csv) => csv.replace('.csv', '')))('%s: every number is one of its results', (name) => {
    const known = numbersOf(name)
    const said = [...sweepOf(name).found!.matchAll(/(?:(?<=\s)-)?\d[\d,]*(?:\.\d+)?/g)].map(([text]) =>
      text.replaceAll(/,(?=\d{3})/g, '').replace(/,$/, ''),
    )
    expect(said.length).toBeGreaterThan(3)
    const digits = (text: string): number => text.split('.')[1]?.length ?? 0
    const unknown = said.filter((text) => !known.some((value) => value.toFixed(digits(text)) === text))
    expect(unknown).toEqual([])
  })
})
