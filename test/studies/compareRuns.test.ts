/** @file Finished runs side by side, on directories written by hand. */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { beforeEach, describe, expect, it } from 'vitest'
import { applySettings, presetByName, showConfig } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import type { Config } from '../../src/config/schema.ts'
import { armFolder, type Sweep } from '../../src/config/sweepFile.ts'
import type { Quality } from '../../src/metrics/figures.ts'
import { runFiles } from '../../src/runs/files.ts'
import { describeModel } from '../../src/stages/info.ts'
import { compareReport } from '../../src/studies/compareReport.ts'
import { type ComparedSetting, compareRuns } from '../../src/studies/compareRuns.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { evaluationOf, info, qualityOf } from '../runs/written.ts'

const folder = join(await temporaryFolder(), 'runs')
beforeEach(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
})

const configOf = (...settings: string[]): Config => applySettings(smokeForm(presetByName('study')), settings)

interface Figures {
  readonly bits?: number
  readonly psnr?: number
  readonly rFid?: number
  readonly gFid?: number
}

/** Writes a finished run; figures that are not given were not measured. */
const finished = (name: string, config: Config, { bits, psnr, rFid, gFid }: Figures): void => {
  const dir = join(folder, name)
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'config.yaml'), showConfig(config))
  writeFileSync(join(dir, runFiles.info), JSON.stringify(info))
  if (bits !== undefined)
    writeFileSync(join(dir, runFiles.evaluation), JSON.stringify(evaluationOf(bits, psnr ?? 0)))
  writeFileSync(join(dir, runFiles.quality), JSON.stringify(qualityOf(rFid ?? null, gFid ?? null)))
}

const figure = (setting: ComparedSetting | undefined, name: string): number | undefined =>
  setting?.figures.get(name)?.mean

/** Two rates, two seeds, two base models on each stage 1. */
const writeGrid = (): void => {
  for (const [i, factor] of [1.5, 3].entries()) {
    for (const seed of [0, 1]) {
      const own = [`decoder.lossFactor=${factor}`, `seed=${seed}`]
      const shared = { bits: 0.5 * (i + 1) + 0.25 * seed, psnr: 20 + i + 2 * seed, rFid: 10 - i }
      finished(`${factor}/${seed}`, configOf(...own), shared)
      for (const [k, base] of [[], ['base.widths=[96, 96]', 'base.blocks=[1, 1]']].entries()) {
        const config = configOf(...own, ...base, 'train.stage1.from=..')
        finished(`${factor}/${seed}/${k}`, config, { ...shared, gFid: 30 + 10 * i - 5 * k + 4 * seed })
      }
    }
  }
}

describe('compareRuns', () => {
  it('finds the keys that differ and averages over seeds, without rows for a shared stage 1', () => {
    writeGrid()
    const { keys, settings, protocol: text } = compareRuns([folder])
    expect(keys).toEqual(['decoder.lossFactor', 'base.widths', 'base.blocks'])
    expect(settings.map(({ values, runs }) => [...values.values(), runs])).toEqual([
      ['1.5', '[64,64]', '[2,1]', 2],
      ['1.5', '[96,96]', '[1,1]', 2],
      ['3', '[64,64]', '[2,1]', 2],
      ['3', '[96,96]', '[1,1]', 2],
    ])
    // Two values a and b: the mean, and |a − b|/2 as its standard error.
    expect(settings.map(({ figures }) => figures.get('bits/pixel'))).toEqual(
      [0.625, 0.625, 1.125, 1.125].map((mean) => ({ mean, error: expect.closeTo(0.125, 12) as number })),
    )
    expect(settings.map((s) => figure(s, 'PSNR'))).toEqual([21, 21, 22, 22])
    expect(settings.map(({ figures }) => figures.get('gFD'))).toEqual(
      [32, 27, 42, 37].map((mean) => ({ mean, error: expect.closeTo(2, 12) as number })),
    )
    expect(settings[0].figures.get('rFD')).toEqual({ mean: 10, error: 0 })
    expect(figure(settings[3], 'KID')).toBeCloseTo(0.37, 12)
    expect(text).toBe(
      'network: n; quantiser: q; reconstructionsOf: 8 images; samplesAgainst: 8 samples; latentSampler: l; decoderSampler: d; guidance: 1',
    )
  })

  it('of three seeds gives the standard error, of one seed none', () => {
    for (const [seed, gFid] of [3, 5, 10].entries()) finished(`${seed}`, configOf(`seed=${seed}`), { gFid })
    const { keys, settings } = compareRuns([folder])
    expect(keys).toEqual([])
    // Mean 6; squares 9, 1, 16 sum to 26; √(26/2/3).
    expect(settings[0].figures.get('gFD')).toEqual({
      mean: 6,
      error: expect.closeTo(Math.sqrt(13 / 3), 12) as number,
    })
    expect(compareRuns([join(folder, '1')]).settings[0].figures.get('gFD')).toEqual({ mean: 5, error: 0 })
  })

  it('shows stage 1 alone where nothing generates, and leaves absent what was not measured in all', () => {
    finished('a', configOf('seed=0'), { bits: 1, psnr: 20, rFid: 3 })
    finished('b', configOf('seed=1'), { rFid: 4 })
    finished('c', configOf('latent.channels=4'), { rFid: 5 })
    const [one, two] = compareRuns([folder]).settings
    expect([...one.figures.keys()]).toEqual(['rFD', 'stage 1 training FLOPs'])
    expect(one.runs).toBe(2)
    expect([...two.figures.keys()]).toEqual(['rFD', 'stage 1 training FLOPs'])
  })

  it('counts training FLOPs as 3 · forward · batch · steps', () => {
    const settings = [
      'train.batch=4',
      'train.stage1.steps=7',
      'train.stage2.batch=5',
      'train.stage2.steps=11',
    ]
    finished('a', configOf(...settings), { gFid: 1 })
    const [setting] = compareRuns([folder]).settings
    const { networks } = describeModel(configOf(...settings), 2)
    const forward = (...names: string[]): number =>
      networks.filter(({ network }) => names.includes(network)).reduce((n, f) => n + f.gflopsForward, 0)
    expect(figure(setting, 'base GFLOPs')).toBe(forward('base'))
    expect(figure(setting, 'base training FLOPs')! / (3e9 * forward('base') * 5 * 11)).toBeCloseTo(1, 12)
    const stage1 = 3e9 * forward('encoder', 'prior', 'decoder') * 4 * 7
    expect(figure(setting, 'stage 1 training FLOPs')! / stage1).toBeCloseTo(1, 12)
  })

  it('counts no base model where the prior generates, no stage 1 for pixels, no prior where it is normal', () => {
    const pixels = ['variant.encoder=pixels', 'latent.channels=48']
    finished('a', configOf('sampler.generator=prior'), { gFid: 1 })
    finished('b', configOf(...pixels), { gFid: 2 })
    finished('c', configOf('variant.prior=normal'), { gFid: 3 })
    const [prior, pixel, normal] = compareRuns([folder]).settings
    expect(figure(prior, 'base training FLOPs')).toBeUndefined()
    expect(figure(prior, 'base GFLOPs')).toBeUndefined()
    expect(figure(pixel, 'stage 1 training FLOPs')).toBe(0)
    expect(figure(normal, 'stage 1 training FLOPs')).toBeGreaterThan(0)
    expect(figure(normal, 'stage 1 training FLOPs')).toBeLessThan(figure(prior, 'stage 1 training FLOPs')!)
  })

  it('tells apart base models whose stage 1 was trained on other data, or longer', () => {
    const other = ['data.source=folder', 'data.path=elsewhere', 'data.balance=false']
    for (const [name, settings] of [
      ['emoji', []],
      ['folder', other],
      ['longer', ['train.stage1.steps=99']],
    ] as const) {
      finished(name, configOf(...settings), { bits: 1 })
      const base = ['data.source=emoji', 'data.path=null', 'data.balance=true', 'train.stage1.from=..']
      finished(`${name}/base`, configOf(...base), { bits: 1, gFid: 1 })
    }
    const { keys, settings } = compareRuns([folder])
    expect(keys).toEqual(
      ['source', 'path', 'balance'].map((key) => `stage 1 data.${key}`).concat('stage 1 train.stage1.steps'),
    )
    const rows = settings.map(({ values, runs }) => [...values.values(), runs].join())
    expect(rows).toEqual(['emoji,null,true,60,1', 'folder,elsewhere,false,60,1', 'emoji,null,true,99,1'])
    const flops = settings.map((setting) => figure(setting, 'stage 1 training FLOPs')!)
    expect(flops[2] / flops[0]).toBeCloseTo(99 / 60, 12)
  })

  it('tells apart figures of other networks, other numbers of images and other guidance, and never averages them', () => {
    finished('a', configOf('seed=0'), { gFid: 1 })
    finished('b', configOf('seed=1'), { gFid: 3 })
    const rewrite = (name: string, change: (quality: Quality) => Quality): void => {
      const file = join(folder, name, runFiles.quality)
      const quality = JSON.parse(readFileSync(file, 'utf8')) as Quality
      writeFileSync(file, JSON.stringify(change(quality)))
    }
    expect(compareRuns([folder]).settings.map((s) => figure(s, 'gFD'))).toEqual([2])
    for (const change of [
      { network: 'FD-DINOv2: 768 features' },
      { guidance: 2 },
      { guidance: 1, guidanceLogSnr: [-4, 4] as const },
    ]) {
      finished('b', configOf('seed=1'), { gFid: 3 })
      rewrite('b', (quality) => ({ ...quality, protocol: { ...quality.protocol, ...change } }))
      const { keys, settings } = compareRuns([folder])
      expect(keys).toEqual(['measured by'])
      expect(settings.map((s) => [s.runs, figure(s, 'gFD')])).toEqual([
        [1, 1],
        [1, 3],
      ])
    }
    finished('b', configOf('seed=1'), { gFid: 3 })
    rewrite('b', (quality) => ({ ...quality, generation: { ...quality.generation!, fakeCount: 9 } }))
    const [one, nine] = compareRuns([folder]).settings
    expect(one.values.get('measured by')).toBe('n, 8 images, guidance 1')
    expect(nine.values.get('measured by')).toBe('n, 9 images, guidance 1')
  })

  it('does not tell apart what has no effect on training', () => {
    finished('a', configOf('train.logEvery=1', 'train.keepCheckpoints=3'), { gFid: 1 })
    finished('b', { ...configOf('train.recompute=true'), name: 'other' }, { gFid: 2 })
    expect(compareRuns([folder])).toMatchObject({ keys: [], settings: [{ runs: 2 }] })
  })

  it('takes several directories, and says when none of them holds a finished run', () => {
    finished('a/x', configOf(), { gFid: 1 })
    finished('b', configOf('train.lr=1e-4'), { gFid: 2 })
    expect(compareRuns([join(folder, 'a'), join(folder, 'b')]).settings).toHaveLength(2)
    // A directory below another is not counted twice.
    expect(compareRuns([folder, join(folder, 'b')]).settings.map(({ runs }) => runs)).toEqual([1, 1])
    mkdirSync(join(folder, 'c'))
    const none = `${join(folder, 'c')}: no finished runs (with quality.json); make some with 'ul sweep'`
    expect(() => compareRuns([join(folder, 'c')])).toThrow(none)
    expect(() => compareRuns([join(folder, 'd')])).toThrow(`${join(folder, 'd')}: there is no such directory`)
  })
})

const sweepOf = (plots: Sweep['plots']): Sweep => ({
  ...{ title: 'What was swept', paper: 'In the paper <b>', found: 'Found.', preset: 'study' },
  ...{ set: [], seeds: 1, samples: 8, arms: [], bases: [], plots },
})

/** Rows of a CSV with quoted cells, none of which holds a line break. */
const parseCsv = (text: string): string[][] => {
  expect(text.endsWith('\n')).toBe(true)
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) =>
      [...`${line},`.matchAll(/("(?:[^"]|"")*"|[^",]*),/g)].map(([, cell]) =>
        cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell,
      ),
    )
}

describe('compareReport', () => {
  it('writes the same numbers as CSV, and as Markdown shortened', async () => {
    writeGrid()
    finished('1.5/0/x', configOf('decoder.lossFactor=1.5', 'train.stage2.lr=1e-4', 'train.stage1.from=..'), {
      gFid: 33,
    })
    const { csv, text } = await compareReport([folder], null)
    const { keys, settings } = compareRuns([folder])
    const [head, ...rows] = parseCsv(csv)
    expect(rows).toHaveLength(5)
    const figures = ['bits/pixel', 'PSNR', 'rFD', 'gFD', 'KID', 'precision', 'recall', 'base GFLOPs']
    const named = [...figures, 'stage 1 training FLOPs', 'base training FLOPs']
    expect(head).toEqual([...keys, 'runs', ...named.flatMap((name) => [name, `${name} error`])])
    for (const [i, { values, runs, figures: known }] of settings.entries()) {
      const cell = (name: string): string => rows[i][head.indexOf(name)]
      for (const [key, value] of values) expect(cell(key)).toBe(value)
      expect(cell('runs')).toBe(String(runs))
      for (const name of named) {
        const { mean, error } = known.get(name as 'PSNR') ?? { mean: '', error: '' }
        // One run has no spread over seeds, which is not a spread of 0.
        expect([cell(name), cell(`${name} error`)]).toEqual([String(mean), runs > 1 ? String(error) : ''])
      }
    }
    const lines = text.split('\n').map((line) => line.slice(2, -2).split(' | '))
    expect(lines[0]).toEqual([...keys, 'runs', ...named])
    expect(lines[1]).toEqual(lines[0].map(() => '---'))
    expect(lines).toHaveLength(2 + 5)
    const column = (name: string): string[] => lines.slice(2).map((cells) => cells[lines[0].indexOf(name)])
    expect(column('bits/pixel')).toEqual([
      '0.625 ± 0.13',
      '0.625 ± 0.13',
      '–',
      '1.125 ± 0.13',
      '1.125 ± 0.13',
    ])
    expect(column('gFD')).toEqual(['32 ± 2', '27 ± 2', '33', '42 ± 2', '37 ± 2'])
    expect(column('base.widths')).toEqual(['[64,64]', '[96,96]', '[64,64]', '[64,64]', '[96,96]'])
  })

  it('puts table, texts and curves on a page that asks for nothing from outside, and the curves in an image', async () => {
    writeGrid()
    const { html, png } = await compareReport([folder], sweepOf([{ x: 'lossFactor', y: 'gFD' }]))
    expect(html).toContain('<h1>What was swept</h1>')
    for (const text of [
      'In the paper &lt;b&gt;',
      'Found.',
      '<td>32 ± 2</td>',
      '<th>decoder.lossFactor</th>',
      '<th>PSNR ↑</th>',
      '<th>rFD ↓</th>',
      '<th>base GFLOPs</th>',
    ]) {
      expect(html).toContain(text)
    }
    expect(html.match(/<svg class="plot"/g)).toHaveLength(1)
    expect(html).not.toMatch(/https?:|\/\/|@import|url\(|<script/)
    const { format, width, height } = await sharp(png).metadata()
    expect(format).toBe('png')
    expect(Math.min(width, height)).toBeGreaterThan(300)
  })
})

describe('names that a sweep gave', () => {
  const arms = [
    { name: 'c_lf 1.5', set: ['decoder.lossFactor=1.5'] },
    { name: 'normal prior, MSE', set: ['decoder.lossFactor=3', 'variant.prior=normal'] },
  ]
  const sweep: Sweep = {
    ...sweepOf([{ x: 'bits/pixel', y: 'gFD', series: 'arm' }]),
    ...{ arms, bases: [{ name: 'small', set: [] }] },
  }
  const write = (): void => {
    for (const [i, { name, set }] of arms.entries()) {
      for (const seed of [0, 1]) {
        const below = join(armFolder(name), `seed-${seed}`, 'small')
        finished(below, configOf(...set, `seed=${seed}`), { bits: i + 1, gFid: 30 + 2 * i + seed })
      }
    }
  }

  it('stand before the settings, and only where they differ', () => {
    write()
    const { keys, settings } = compareRuns([folder], sweep)
    expect(keys).toEqual(['arm', 'decoder.lossFactor', 'variant.prior'])
    expect(settings.map(({ values, runs }) => [...values.values(), runs])).toEqual([
      ['c_lf 1.5', '1.5', 'diffusion', 2],
      ['normal prior, MSE', '3', 'normal', 2],
    ])
  })

  it('are the names of lines where the file asks for that, and otherwise do not split them', async () => {
    write()
    const { html } = await compareReport([folder], sweep)
    expect(html).toContain('<title>c_lf 1.5: 30.5 at 1</title>')
    expect(html).toContain('<title>normal prior, MSE: 32.5 at 2</title>')
    const { html: joined } = await compareReport([folder], {
      ...sweep,
      plots: [{ x: 'bits/pixel', y: 'gFD', series: 'lossFactor' }],
    })
    expect(joined).toContain('<title>decoder.lossFactor 1.5: 30.5 at 1</title>')
  })

  it('come in the order of the sweep; a folder that it does not know is named by itself and comes first', () => {
    write()
    finished('older/seed-0/small', configOf(), { bits: 3, gFid: 1 })
    const names = compareRuns([folder], sweep).settings.map(({ values }) => values.get('arm'))
    expect(names).toEqual(['older', 'c_lf 1.5', 'normal prior, MSE'])
    const turned = { ...sweep, arms: [...sweep.arms].reverse() }
    const inOrder = compareRuns([folder], turned).settings.map(({ values }) => values.get('arm'))
    expect(inOrder).toEqual(['older', 'normal prior, MSE', 'c_lf 1.5'])
  })
})

/** Names of the lines of a plot, each with its points and error bars, in the numbers of the titles on the marks. */
const linesOf = async (plot: Sweep['plots'][number]): Promise<Record<string, string[]>> => {
  const { html } = await compareReport([folder], sweepOf([plot]))
  const lines = [...html.matchAll(/<g class="series [^"]*">(.*?)<\/g>/g)].map(
    ([, content]): [string, string[]] => {
      const marks = [...content.matchAll(/<title>(.*?): ([^:]*)<\/title>/g)]
      const names = new Set(marks.map(([, name]) => name))
      expect(names.size).toBe(1)
      return [[...names][0], marks.map(([, , place]) => place)]
    },
  )
  return Object.fromEntries(lines)
}

describe('lines of a plot', () => {
  it('join settings of one base model, and draw once what base models share', async () => {
    writeGrid()
    expect(await linesOf({ x: 'bits/pixel', y: 'gFD' })).toEqual({
      'base.widths [64,64]': ['32 at 0.625', '42 at 1.125'],
      'base.widths [96,96]': ['27 at 0.625', '37 at 1.125'],
    })
    expect(await linesOf({ x: 'bits/pixel', y: 'PSNR' })).toEqual({ PSNR: ['21 at 0.625', '22 at 1.125'] })
    expect(await linesOf({ x: 'decoder.lossFactor', y: 'bits/pixel' })).toEqual({
      'bits/pixel': ['0.625 at 1.5', '1.125 at 3'],
    })
    // Named by the file: both lines, one on the other.
    expect(Object.keys(await linesOf({ x: 'bits/pixel', y: 'PSNR', series: 'base.widths' }))).toHaveLength(2)
  })

  it('have a vertical line of two standard errors at every point', async () => {
    writeGrid()
    const { html } = await compareReport([folder], sweepOf([{ x: 'bits/pixel', y: 'gFD' }]))
    expect(html.match(/<path class="error"/g)).toHaveLength(4)
    const flat = await compareReport([folder], sweepOf([{ x: 'bits/pixel', y: 'rFD' }]))
    expect(flat.html).not.toContain('<path class="error"')
  })

  it('of a grid over a figure follow the key of most values', async () => {
    // The rate falls with the bias and grows with the factor, so that a line through all of them would zigzag.
    for (const factor of [1, 2, 3]) {
      for (const bias of [4, 5]) {
        const bits = factor / bias
        finished(`${factor} ${bias}`, configOf(`decoder.lossFactor=${factor}`, `decoder.bias=${bias}`), {
          bits,
          psnr: 20 + bits,
        })
      }
    }
    const wanted = {
      'decoder.bias 4': ['20.25 at 0.25', '20.5 at 0.5', '20.75 at 0.75'],
      'decoder.bias 5': ['20.2 at 0.2', '20.4 at 0.4', '20.6 at 0.6'],
    }
    expect(await linesOf({ x: 'bits/pixel', y: 'PSNR' })).toEqual(wanted)
    expect(await linesOf({ x: 'bits/pixel', y: 'PSNR', series: 'bias' })).toEqual(wanted)
    expect(Object.keys(await linesOf({ x: 'bits/pixel', y: 'PSNR', series: 'lossFactor' }))).toHaveLength(3)
    expect(Object.keys(await linesOf({ x: 'lossFactor', y: 'PSNR' }))).toEqual(Object.keys(wanted))
  })

  it('split a named series further where it mixes settings', async () => {
    const kinds = [[], ['variant.prior=normal'], ['variant.encoder=pixels', 'latent.channels=48']]
    for (const [k, kind] of kinds.entries()) {
      for (const steps of [10, 20, 40]) {
        finished(`${k} ${steps}`, configOf(...kind, `train.stage2.steps=${steps}`), {
          gFid: 9 + k - steps / 10,
        })
      }
    }
    const lines = await linesOf({ x: 'base training FLOPs', y: 'gFD', series: 'variant.encoder' })
    expect(Object.keys(lines)).toEqual([
      'variant.encoder resnet, variant.prior diffusion',
      'variant.encoder resnet, variant.prior normal',
      'variant.encoder pixels, variant.prior diffusion',
    ])
    for (const points of Object.values(lines)) expect(points).toHaveLength(3)
  })

  it('follow numbers, also where a key of words has more values', async () => {
    for (const [i, source] of ['emoji', 'folder', 'npy'].entries()) {
      for (const factor of [1, 2]) {
        const config = configOf(`data.source=${source}`, `decoder.lossFactor=${factor}`)
        finished(`${i} ${factor}`, config, { bits: factor + i / 4, psnr: 20 + factor })
      }
    }
    expect(await linesOf({ x: 'bits/pixel', y: 'PSNR' })).toEqual({
      'data.source emoji': ['21 at 1', '22 at 2'],
      'data.source folder': ['21 at 1.25', '22 at 2.25'],
      'data.source npy': ['21 at 1.5', '22 at 2.5'],
    })
  })

  it('join nothing where settings have no order', async () => {
    finished('a', configOf(), { bits: 1, psnr: 20 })
    finished('b', configOf('variant.decoder=mse'), { bits: 2, psnr: 22 })
    finished('c', configOf('variant.variance=learned'), { bits: 3, psnr: 21 })
    expect(await linesOf({ x: 'bits/pixel', y: 'PSNR' })).toEqual({
      'variant.variance fixed, variant.decoder diffusion': ['20 at 1'],
      'variant.variance fixed, variant.decoder mse': ['22 at 2'],
      'variant.variance learned, variant.decoder diffusion': ['21 at 3'],
    })
  })
})

describe('runs that name the same data and were trained on other', () => {
  const other = (change: object): void => {
    finished('a', configOf('seed=0'), { rFid: 1 })
    finished('b', configOf('seed=1'), { rFid: 2 })
    writeFileSync(join(folder, 'b', runFiles.info), JSON.stringify({ ...info, ...change }))
  }

  it.each([
    [{ classes: ['a', 'b', 'c'] }, 'of its classes c new'],
    [{ trainCount: 9 }, 'training images 8 then, 9 now'],
    [{ classes: ['b', 'a'] }, 'its classes in another order'],
  ])('are refused by name: %j', (change, difference) => {
    other(change)
    expect(() => compareRuns([folder])).toThrow(
      `${join(folder, 'b')}: it was trained on other data than ${join(folder, 'a')}, which names the same (emoji ): ${difference}; compare`,
    )
  })

  it('are compared where only what is measured or skipped differs', () => {
    other({ validationCount: 3, skipped: ['x: is empty'], pictures: 'abc' })
    expect(compareRuns([folder]).settings).toHaveLength(1)
  })
})
