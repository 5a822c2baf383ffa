/** @file Exports as ONNX: the recipe follows from its own formulas, folders are there whole or not at all. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/load.ts'
import { exportOnnx } from '../../src/export/exportOnnx.ts'
import { exportedGenerator } from '../../src/export/networks.ts'
import { type Recipe, recipeOf } from '../../src/export/recipe.ts'
import type { OpenedRun } from '../../src/use/openRun.ts'
import { smallRun } from './smallRun.ts'

const { exportedTo, opened, recipeIn, runFolder, workFolder } = await smallRun()

const names = (folder: string): string[] => readdirSync(join(workFolder, folder)).sort()
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** λ at the steps of a chain, from its form and constants alone. */
const levels = ({ schedule, steps }: NonNullable<Recipe['base']> | Recipe['decoder']): number[] => {
  const { form, logSnr0: high, logSnr1: low } = schedule
  return Array.from({ length: steps.length + 1 }, (_, i) => {
    const t = 1 - i / steps.length
    if (form.name === 'linear') return (1 - t) * high + t * low
    if (form.name !== 'cosine') throw new Error(form.name)
    const [a0, a1] = [high, low].map((logSnr) => Math.atan(Math.exp((form.shift - logSnr) / 2)))
    return form.shift - 2 * Math.log(Math.tan(a0 + t * (a1 - a0)))
  })
}

describe('model.json', () => {
  it('has the steps that follow from its formulas, for each sampler', () => {
    const run = opened()
    const network = exportedGenerator(run.model, run.base(), 'base', { weights: 'inside' })
    const facts = {
      ...{ licence: '', precision: 'float32' as const, rate: null },
      ...{ encoder: network, decoder: network, base: network },
    }
    for (const kind of ['ancestral', 'ddim', 'dpmpp2m'] as const) {
      const sampler = { ...run.config.sampler, kind, variance: 0.2 }
      const base = recipeOf({ ...run, config: { ...run.config, sampler } }, facts).base!
      const at = levels(base)
      expect(base.sampler).toMatchObject({ kind, steps: 4, end: 'noisy' })
      for (const [i, step] of base.steps.entries()) {
        const [t, s] = [at[i], at[i + 1]]
        const alpha = (logSnr: number): number => Math.sqrt(sigmoid(logSnr))
        const sigma = (logSnr: number): number => Math.sqrt(sigmoid(-logSnr))
        const c = 1 - Math.exp(t - s)
        const ddim = { keep: sigma(s) / sigma(t), clean: alpha(s) - (sigma(s) / sigma(t)) * alpha(t) }
        const r = i === 0 ? 0 : (s - t) / (2 * (t - at[i - 1]))
        const expected = {
          ancestral: {
            ...{ keep: (alpha(s) / alpha(t)) * (1 - c), clean: alpha(s) * c, past: 0 },
            noise: Math.sqrt(c) * sigma(t) ** 0.2 * sigma(s) ** 0.8,
          },
          ddim: { ...ddim, past: 0, noise: 0 },
          dpmpp2m: { keep: ddim.keep, clean: ddim.clean * (1 + r), past: -ddim.clean * r, noise: 0 },
        }[kind]
        expect(step.logSnr).toBeCloseTo(t, 10)
        for (const [key, value] of Object.entries(expected))
          expect(step[key as keyof typeof expected], `${kind} ${i} ${key}`).toBeCloseTo(value, 10)
        expect(step.guidance).toBe(t >= -4 && t <= 4 ? 2 : 1)
      }
    }
  })

  it('has a decoder that ends at its prediction, classes, and figures that were measured', async () => {
    await exportedTo('whole')
    const recipe = recipeIn('whole')
    const { decoder, latent, base } = recipe
    expect(decoder.schedule.form).toEqual({ name: 'cosine', shift: 2 * Math.log(32 / 16) })
    expect(decoder.steps.map(({ logSnr }) => logSnr)).toEqual(
      levels(decoder)
        .slice(0, -1)
        .map((n) => expect.closeTo(n, 9)),
    )
    expect(decoder.steps.at(-1)).toMatchObject({ keep: 0, clean: 1, past: 0, noise: 0 })
    expect(latent).toMatchObject({ channels: 8, height: 4, width: 4, logSnr0: 5 })
    expect(latent.alpha0 ** 2 + latent.sigma0 ** 2).toBeCloseTo(1, 12)
    expect(latent.alpha0 ** 2).toBeCloseTo(sigmoid(5), 12)
    expect(recipe.classes).toEqual(['Animals', 'Food & Drink', 'Flags'])
    expect(base!.conditions).toEqual([{ name: 'labels', dtype: 'int32', usual: 3, untold: 3 }])
    const measured = JSON.parse(readFileSync(join(runFolder, 'evaluation.json'), 'utf8'))
    expect(recipe.rate).toEqual({ bitsPerPixel: measured.bitsPerPixel, count: measured.count })
    expect(recipe).toMatchObject({ licence: 'Apache-2.0', version: 1, image: { height: 16, range: [-1, 1] } })
  })

  it('says null of a rate that was not measured, and of a base model that was not trained', async () => {
    const run: OpenedRun = { ...opened(), generates: false }
    await exportOnnx(run, workFolder, join(workFolder, 'bare'), {
      ...{ weights: 'inside', precision: 'float32', licence: 'x' },
    })
    expect(recipeIn('bare')).toMatchObject({ rate: null, base: null })
    expect(names('bare')).toEqual(['decoder_step.onnx', 'encoder.onnx', 'model.json'])
  })
})

describe('the folder of an export', () => {
  it('is replaced by another, of which nothing is left', async () => {
    const { files, bytes } = await exportedTo('again', { weights: 'beside', precision: 'float16' })
    expect(names('again')).toEqual([...files].sort())
    expect(files).toContain('base_step.weights')
    expect(bytes).toBe(files.reduce((sum, name) => sum + statSync(join(workFolder, 'again', name)).size, 0))
    const small = bytes
    expect((await exportedTo('again')).bytes / small).toBeGreaterThan(1.15)
    expect(names('again')).toEqual(['base_step.onnx', 'decoder_step.onnx', 'encoder.onnx', 'model.json'])
    expect(recipeIn('again').precision).toBe('float32')
  })

  it.each(['notes.txt', 'model.json.bak', 'run'])('is not replaced when it also holds %s', async (name) => {
    const folder = `held-${name}`
    mkdirSync(join(workFolder, folder))
    for (const own of ['model.json', 'encoder.onnx']) writeFileSync(join(workFolder, folder, own), 'earlier')
    writeFileSync(join(workFolder, folder, name), 'mine')
    const before = names(folder)
    await expect(exportedTo(folder)).rejects.toThrow(
      new ConfigError(
        `${join(workFolder, folder)}/${name}: it holds something else than what 'ul export --onnx' wrote; give another folder`,
      ),
    )
    expect(names(folder)).toEqual(before)
  })

  it('is not put in the place of a file', async () => {
    writeFileSync(join(workFolder, 'file'), 'mine')
    await expect(exportedTo('file')).rejects.toThrow(/file: it holds something else than/)
    expect(readFileSync(join(workFolder, 'file'), 'utf8')).toBe('mine')
  })

  it('is not there when anything failed, and nothing else is', async () => {
    mkdirSync(join(workFolder, 'empty', 'inner'), { recursive: true })
    const failing: OpenedRun = {
      ...opened(),
      base: () => {
        throw new Error('no weights')
      },
    }
    const to = join(workFolder, 'empty', 'inner', 'model')
    const options = { weights: 'inside', precision: 'float32', licence: 'x' } as const
    await expect(exportOnnx(failing, runFolder, to, options)).rejects.toThrow('no weights')
    expect([existsSync(to), names('empty/inner')]).toEqual([false, []])
  })

  it('is refused of latents that are pixels, in one sentence', async () => {
    const run = opened()
    const pixels = {
      ...run,
      model: { ...run.model, variant: { ...run.model.variant, encoder: 'pixels' as const } },
    }
    const options = { weights: 'inside', precision: 'float32', licence: 'x' } as const
    await expect(exportOnnx(pixels, 'runs/p', join(workFolder, 'p'), options)).rejects.toThrow(
      /^runs\/p: latents of this run are pixels \(variant\.encoder\), .* export it with --out alone$/,
    )
  })
})
