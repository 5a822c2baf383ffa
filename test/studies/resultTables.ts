/** @file The tables of docs/results.md, from experiments/results: which rows and columns each has, and how they are named. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSweep, type Sweep } from '../../src/config/sweepFile.ts'
import { type ComparedSetting, compareRuns } from '../../src/studies/compareRuns.ts'
import { fitBudget, planBudget } from '../../src/studies/law/rateBudget.ts'
import { fitRateLaw, keptNoise, predictRate } from '../../src/studies/law/rateLaw.ts'
import { planRuns } from '../../src/studies/plan.ts'
import { runValues } from '../../src/studies/values.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The results of an experiment. */
export const resultsOf = (name: string): string => join(root, 'experiments/results', `${name}.jsonl`)

/** The file of an experiment. */
export const sweepOf = (name: string): Sweep => {
  const file = join(root, 'experiments', `${name}.yaml`)
  return parseSweep(readFileSync(file, 'utf8'), file)
}

const compared = new Map<string, readonly ComparedSetting[]>()

/** The settings of an experiment, in the order of its file. */
export const settingsOf = (name: string): readonly ComparedSetting[] => {
  const settings = compared.get(name) ?? compareRuns([resultsOf(name)], sweepOf(name)).settings
  compared.set(name, settings)
  return settings
}

/** The one setting with an arm and, where there are several, a base model. */
export const settingOf = (
  settings: readonly ComparedSetting[],
  arm: string,
  base?: string,
): ComparedSetting => {
  const found = settings.filter(
    ({ values }) => values.get('arm') === arm && (base === undefined || values.get('base') === base),
  )
  if (found[0] === undefined) throw new Error(`there is no setting of arm '${arm}', base '${base}'`)
  return found[0]
}

/** y at x between the neighbours of x, by straight lines. */
export const interpolated = (points: readonly (readonly [number, number])[], x: number): number => {
  const sorted = [...points].sort(([a], [b]) => a - b)
  const right = sorted.findIndex(([at]) => at >= x)
  const [[x0, y0], [x1, y1]] = [sorted[right - 1], sorted[right]]
  return y0 + ((x - x0) / (x1 - x0)) * (y1 - y0)
}

/** The mean of a value over the seeds of a setting. */
export const meanOf = (setting: ComparedSetting, name: string): number => setting.figures.get(name)!.mean

/** Values whose spread over seeds is left out. */
const withoutError: ReadonlySet<string> = new Set(['SSIM', 'precision', 'base GFLOPs'])

const cell = ({ figures, runs }: ComparedSetting, name: string): string => {
  const [figure, value] = [figures.get(name), runValues.find((row) => row.name === name)]
  if (value === undefined) throw new Error(`comparisons show no value '${name}'`)
  if (figure === undefined) return '–'
  // Distances by features of one kind of image are small numbers: they keep three digits that count.
  const more = name.endsWith('FD') && figure.mean < 1 ? 2 - Math.floor(Math.log10(figure.mean)) : 0
  const [mean, error] = [figure.mean, figure.error].map((x) => x.toFixed(Math.max(more, value.digits)))
  return runs > 1 && !withoutError.has(name) ? `${mean} ± ${error}` : `${mean}`
}

const signed = (share: number): string => `${share < 0 ? '−' : '+'}${(100 * Math.abs(share)).toFixed(1)}%`

type Rows = readonly (readonly string[])[]

/** A table with a row for each arm that has a label, and a column for each value. */
const byArm = (
  name: string,
  { title = '', names, labels }: { title?: string; names: readonly string[]; labels: Record<string, string> },
): Rows => {
  const settings = settingsOf(name)
  const rows = Object.entries(labels).map(([arm, label]) => {
    const setting = settingOf(settings, arm)
    return [label, ...names.map((value) => cell(setting, value))]
  })
  return [[title, ...names], ...rows]
}

/** As `byArm`, with the rates by the prior and by the base model first. */
const byPriorAndBase = (
  name: string,
  { title, names, labels }: { title: string; names: readonly string[]; labels: Record<string, string> },
): Rows => {
  const [, ...rows] = byArm(name, { names: ['bits/pixel', 'base bits/pixel', ...names], labels })
  return [[title, 'bits/pixel by the prior', 'by the base', ...names], ...rows]
}

const usual = ['bits/pixel', 'PSNR', 'SSIM', 'rFD', 'gFD'] as const
const withoutSsim = ['bits/pixel', 'PSNR', 'rFD', 'gFD'] as const

/**
 * Over the loss factor, with the gFD of each base model that was trained.
 * @param names the base models, of which the first has every loss factor; they may say how long it was trained
 */
const lossFactor = (name: string, names: readonly string[] = ['small', 'larger']): Rows => {
  const settings = settingsOf(name)
  const bases = names.map((base) => settings.filter(({ values }) => values.get('base') === base))
  const rows = bases[0].map((first) => {
    const same = (base: readonly ComparedSetting[]) =>
      base.find(({ values }) => values.get('arm') === first.values.get('arm'))
    return [
      first.values.get('decoder.lossFactor')!,
      ...usual.slice(0, -1).map((value) => cell(first, value)),
      ...bases.map(same).map((setting) => (setting ? cell(setting, 'gFD') : '–')),
    ]
  })
  const heads = bases.map(([{ values, figures }]) => {
    const gflops = figures.get('base GFLOPs')!.mean.toPrecision(2)
    const [base, ...length] = values.get('base')!.split(' ')
    return `gFD ${[`${base} base`, ...length].join(' ')} (${gflops} GFLOPs)`
  })
  return [['c_lf', ...usual.slice(0, -1), ...heads], ...rows]
}

/** What a curve of settings has at a rate, by straight lines over the logarithm of the rate and, of a distance, over its own. */
const atRate = (curve: readonly ComparedSetting[], name: string, rate: number): number => {
  const isDistance = name.endsWith('FD')
  const points = curve.map((at) => {
    const value = meanOf(at, name)
    return [Math.log(meanOf(at, 'bits/pixel')), isDistance ? Math.log(value) : value] as const
  })
  const there = interpolated(points, Math.log(rate))
  return isDistance ? Math.exp(there) : there
}

/** Each rate of the squared error with what the diffusion decoder has there, and how much less or more that is. */
const equalRate = (): Rows => {
  const settings = settingsOf('claim-decoder')
  const kind = (name: string) => settings.filter(({ values }) => values.get('arm')?.startsWith(name))
  const diffusion = kind('diffusion decoder')
  const rows = kind('MSE decoder').map((setting) => [
    cell(setting, 'bits/pixel'),
    ...['rFD', 'gFD'].flatMap((name) => {
      const there = atRate(diffusion, name, meanOf(setting, 'bits/pixel'))
      return [cell(setting, name), `${there.toPrecision(3)} (${signed(there / meanOf(setting, name) - 1)})`]
    }),
  ])
  const heads = ['rFD', 'gFD'].flatMap((name) => [`${name}, squared error`, `${name}, diffusion`])
  return [['bits/pixel', ...heads], ...rows]
}

const bias = (): Rows => {
  const settings = settingsOf('bias')
  const [biases, factors] = ['decoder.bias', 'decoder.lossFactor'].map((key) => [
    ...new Set(settings.map(({ values }) => values.get(key)!)),
  ]) as [string[], string[]]
  const rows = biases.map((b) => [
    b,
    ...factors.map((c) => {
      const setting = settingOf(settings, `b ${b} c_lf ${c}`)
      return withoutSsim.map((value) => cell(setting, value)).join(', ')
    }),
  ])
  return [['b', ...factors.map((c) => `c_lf ${c}`)], ...rows]
}

/**
 * Curves over the loss factor, one for each bias, and how far each is at its rates from that of the bias 0.8.
 * @param names the values, after the rate
 */
const biasCurves = (experiment: string, names: readonly string[]): Rows => {
  const settings = settingsOf(experiment)
  const usualBias = '0.8'
  const curve = settings.filter(({ values }) => values.get('decoder.bias') === usualBias)
  const rows = settings.map((setting) => {
    const { values } = setting
    const ahead = (name: string): string => {
      const [own, there] = [meanOf(setting, name), atRate(curve, name, meanOf(setting, 'bits/pixel'))]
      return name === 'PSNR'
        ? `${own < there ? '−' : '+'}${Math.abs(own - there).toFixed(2)} dB`
        : signed(own / there - 1)
    }
    return [
      values.get('decoder.bias')!,
      values.get('decoder.lossFactor')!,
      ...['bits/pixel', ...names].map((name) => cell(setting, name)),
      ...names.map((name) => (curve.includes(setting) ? '' : ahead(name))),
    ]
  })
  const heads = names.map((name) => `${name} against b ${usualBias}`)
  return [['b', 'c_lf', 'bits/pixel', ...names, ...heads], ...rows]
}

/** The gFD of each base model on an arm's latents; a dash for one that was not trained. */
const gfdByBase = (own: readonly ComparedSetting[], bases: readonly string[]): string[] =>
  bases.map((base) => {
    const setting = own.find(({ values }) => values.get('base') === base)
    return setting ? cell(setting, 'gFD') : '–'
  })

/**
 * Over the grid and the channels of the latent.
 * @param labels the latent of each arm
 * @param longer base models trained for longer, each with the head of its column
 */
const shape = (name: string, labels: Record<string, string>, longer: Record<string, string> = {}): Rows => {
  const settings = settingsOf(name)
  const rows = Object.entries(labels).map(([arm, label]) => {
    const own = settings.filter(({ values }) => values.get('arm') === arm)
    const first = settingOf(own, arm)
    return [
      label,
      ...usual.map((value) => cell(first, value)),
      ...gfdByBase(own, Object.keys(longer)),
      cell(first, 'base GFLOPs'),
    ]
  })
  return [['latent', ...usual, ...Object.values(longer), 'base model, GFLOPs forward'], ...rows]
}

/**
 * The gFD of what base models of several lengths generate.
 * @param bases names of the base models, each with its length as the head of a column, the first of them said whole
 */
const efficiency = (
  name: string,
  { bases, labels }: { bases: Record<string, string>; labels: Record<string, string> },
): Rows => {
  const settings = settingsOf(name)
  const rows = Object.entries(labels).map(([arm, label]) => {
    const own = settings.filter(({ values }) => values.get('arm') === arm)
    return [
      label,
      ...['bits/pixel', 'PSNR', 'rFD'].map((value) => cell(settingOf(own, arm), value)),
      ...gfdByBase(own, Object.keys(bases)),
    ]
  })
  const [first, ...others] = Object.values(bases)
  return [['what it generates', 'bits/pixel', 'PSNR', 'rFD', `gFD after ${first}`, ...others], ...rows]
}

/** What the law of some runs says of others, and what these gave. */
const checked = (dirs: readonly string[], check: readonly string[]) =>
  planRuns({ dirs, check }).check!.settings.map(({ measured, predicted, relativeError }) => ({
    ...{ bias: measured.bias, lossFactor: measured.lossFactor },
    figures: [
      predicted.bitsPerPixel.toFixed(3),
      measured.bitsPerPixel.toFixed(3),
      signed(relativeError),
    ] as const,
  }))

/** The best rate of each training budget, and what the line through those of the others says of it. */
const budgets = (): Rows => {
  const points = settingsOf('claim-rate').map((setting) => ({
    bitsPerPixel: meanOf(setting, 'bits/pixel'),
    trainingFlops: meanOf(setting, 'base training FLOPs'),
    frechet: meanOf(setting, 'gFD'),
  }))
  const rows = fitBudget(points).optima.map(({ trainingFlops, bitsPerPixel, logError, frechet }) => {
    const others = points.filter((point) => Math.abs(point.trainingFlops / trainingFlops - 1) > 1e-6)
    const named = planBudget(fitBudget(others), trainingFlops)
    return [
      `${(trainingFlops / 1e12).toFixed(1)} · 10¹²`,
      `${bitsPerPixel!.toFixed(3)} ± ${(bitsPerPixel! * logError!).toFixed(3)}`,
      frechet!.toPrecision(3),
      `${named.bitsPerPixel.toFixed(3)}${named.extrapolated ? ' (extrapolated)' : ''}`,
      signed(named.bitsPerPixel / bitsPerPixel! - 1),
    ]
  })
  return [['training FLOPs', 'best bits/pixel', 'gFD there', 'named by the others', ''], ...rows]
}

/** The law from c_lf 1.5 and 4, against what was not in the fit. */
const planner = (): Rows => {
  const file = resultsOf('loss-factor')
  const rows = checked([`${file}/c_lf-1.5`, `${file}/c_lf-4`], [file, resultsOf('planned')])
  return [
    ['c_lf', 'predicted', 'measured', ''],
    ...rows.map(({ lossFactor, figures }) => [
      `${lossFactor}${lossFactor > 4 ? ' (extrapolated)' : ''}`,
      ...figures,
    ]),
  ]
}

/** The law at three biases, against runs by the loss factors that it gave for a wanted rate. */
const plannedBiases = (): Rows => {
  const rows = checked([resultsOf('loss-factor'), resultsOf('bias')], [resultsOf('planned-biases')])
  return [
    ['b', 'c_lf', 'asked for', 'measured', ''],
    ...rows.map(({ bias, lossFactor, figures }) => [`${bias}`, `${lossFactor}`, ...figures]),
  ]
}

/** Every setting of experiments at three biases, predicted by the law of all others and by its line alone. */
const plannerBiases = (...names: readonly string[]): Rows => {
  const { settings } = planRuns({ dirs: names.map(resultsOf) })
  const rows = settings.map((setting) => {
    const { lossFactor, bias, bitsPerPixel } = setting
    const law = fitRateLaw(settings.filter((other) => other !== setting))
    const predicted = predictRate(law, setting).bitsPerPixel
    const line = Math.exp(law.a + law.k * (bias - keptNoise(lossFactor)))
    return [
      ...[`${bias}`, `${lossFactor}`, predicted.toFixed(3), bitsPerPixel.toFixed(3)],
      ...[signed(predicted / bitsPerPixel - 1), signed(line / bitsPerPixel - 1)],
    ]
  })
  return [['b', 'c_lf', 'predicted', 'measured', '', 'by the line'], ...rows]
}

/** By the name in `<!-- generated: name -->`; the first row is the head. */
export const tables: Readonly<Record<string, () => Rows>> = {
  'loss-factor': () => lossFactor('loss-factor'),
  'claim-rate-long': () => lossFactor('claim-rate-long'),
  'claim-decoder': () =>
    byPriorAndBase('claim-decoder', {
      title: 'decoder',
      names: usual.slice(1),
      labels: {
        'diffusion decoder c_lf 2': 'diffusion, c_lf 2',
        'diffusion decoder c_lf 2.5': 'diffusion, c_lf 2.5',
        'diffusion decoder c_lf 2.75': 'diffusion, c_lf 2.75',
        'diffusion decoder c_lf 4': 'diffusion, c_lf 4',
        'diffusion decoder c_lf 8': 'diffusion, c_lf 8',
        'diffusion decoder c_lf 32': 'diffusion, c_lf 32',
        'MSE decoder c_lf 1': 'squared error, c_lf 1',
        'MSE decoder c_lf 3': 'squared error, c_lf 3',
        'MSE decoder c_lf 8': 'squared error, c_lf 8',
        'normal prior, diffusion decoder': 'diffusion, c_lf 8, normal prior',
      },
    }),
  'claim-equal-rate': equalRate,
  'claim-rate': () => lossFactor('claim-rate', ['small 2500 steps', 'small', 'small 10000 steps', 'larger']),
  'claim-budget': budgets,
  'claim-ablations': () =>
    byPriorAndBase('claim-ablations', {
      title: '',
      names: ['PSNR', 'rFD', 'gFD', 'precision'],
      labels: {
        baseline: 'baseline (c_lf 8, b 0.8)',
        'A stopped gradient, 8 channels':
          "A: prior's gradient stopped, KL to N(0, I) times 0.001, 8 channels",
        'B logSnr0 10': 'B: λ_z(0) = 10',
        'B logSnr0 10, no hold': "B without the encoder's hold",
        'C other data': 'C: stage 1 trained on emoji',
        'D learned variance': 'D: learned variance',
      },
    }),
  bias,
  ablations: () =>
    byArm('ablations', {
      names: [...withoutSsim, 'precision'],
      labels: {
        baseline: 'baseline (c_lf 4, b 2.8)',
        'A stopped gradient': "A: prior's gradient stopped, KL to N(0, I) times 0.001, 4 channels",
        'B logSnr0 10': 'B: λ_z(0) = 10',
        'C other data': "C: stage 1 trained on another vendor's emoji",
        'natural mix': 'baseline with classes as often as in the data, as C has them',
        'D learned variance': 'D: learned variance',
      },
    }),
  'ablations-more': () =>
    byArm('ablations-more', {
      names: withoutSsim,
      labels: {
        'A weaker KL': 'A with 8 channels, KL times 10⁻⁴',
        'A KL of almost nothing': 'A with 8 channels, KL times 10⁻⁶',
        'B c_lf 1.5': 'B at c_lf 1.5',
      },
    }),
  channels: () =>
    byArm('channels', {
      title: 'channels',
      names: usual,
      labels: Object.fromEntries([2, 4, 8, 16, 32].map((n) => [`channels ${n}`, `${n}`])),
    }),
  shape: () =>
    shape(
      'shape',
      Object.fromEntries(
        [2, 4, 8, 16].map((times) => [
          `downsample ${times}`,
          `${32 / times}×${32 / times}×8 (${times} times)`,
        ]),
      ),
    ),
  'claim-bias': () => biasCurves('claim-bias', ['PSNR', 'rFD', 'gFD']),
  'claim-bias-short': () => biasCurves('claim-bias-short', ['PSNR', 'rFD']),
  'claim-planner': () => plannerBiases('claim-bias'),
  'claim-shape': () =>
    shape(
      'claim-shape',
      {
        ...Object.fromEntries([2, 4, 8, 16].map((n) => [`channels ${n}`, `8×8×${n}`])),
        'downsample 2': '16×16×8',
        'downsample 8': '4×4×8',
      },
      { 'small 10000 steps': 'gFD after 10,000 steps' },
    ),
  'prior-decoder': () =>
    byPriorAndBase('prior-decoder', {
      title: 'prior, decoder',
      names: ['PSNR', 'rFD', 'gFD'],
      labels: {
        'diffusion prior, diffusion decoder': 'diffusion, diffusion',
        'diffusion prior, MSE decoder': 'diffusion, squared error',
        'diffusion prior, MSE decoder, c_lf 1.5': 'diffusion, squared error, c_lf 1.5',
        'normal prior, diffusion decoder': 'normal, diffusion',
      },
    }),
  efficiency: () =>
    efficiency('efficiency', {
      bases: { '400 steps': '400 steps', '1200 steps': '1,200', '3600 steps': '3,600' },
      labels: {
        'UL latents': 'UL latents',
        'UL latents, MSE decoder': 'UL latents, squared-error decoder',
        'KL-VAE latents': 'KL-VAE latents (learned variance, KL times 0.01, squared-error decoder)',
        pixels: 'pixels (2% more FLOPs)',
      },
    }),
  'kl-weight': () =>
    byPriorAndBase('kl-weight', {
      title: 'weight of the KL',
      names: ['PSNR', 'rFD', 'gFD'],
      labels: Object.fromEntries(['3', '1', '0.1', '0.01'].map((w) => [`KL ${w}`, w])),
    }),
  'claim-efficiency': () =>
    efficiency('claim-efficiency', {
      bases: { '2500 steps': '2,500 steps', '5000 steps': '5,000', '15000 steps': '15,000' },
      labels: {
        'UL latents': 'UL latents (c_lf 8)',
        'KL-VAE latents': 'KL-VAE latents (learned variance, KL times 1, squared-error decoder)',
        pixels: 'pixels, a convolutional U-ViT',
      },
    }),
  'single-stage': () =>
    byArm('single-stage', {
      names: [...withoutSsim, 'precision'],
      labels: {
        'two stages': 'two stages, base model without classes',
        'ELBO prior': 'one stage, ELBO prior',
        '1 noisier decoder': "variant 1: decoder's loss at noisier levels (b 1.8, c_lf 6)",
        '2 weighted prior': 'variant 2: weighted prior by a random least noise (b 2)',
      },
    }),
  planner,
  'planner-biases': () => plannerBiases('loss-factor', 'bias'),
  'planned-biases': plannedBiases,
}

const markdown = (rows: Rows): string => {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |')
  return [line(rows[0]), line(rows[0].map(() => '---')), ...rows.slice(1).map(line)].join('\n')
}

/** A text with every block `<!-- generated: name -->` … `<!-- end -->` filled. @throws for a name without a table */
export const filled = (text: string): string =>
  text.replaceAll(/(<!-- generated: ([\w-]+) -->\n).*?(\n<!-- end -->)/gs, (_, head, name, end) => {
    const table = tables[String(name)]
    if (table === undefined) throw new Error(`there is no table '${name}'`)
    return `${head}${markdown(table())}${end}`
  })
