/** @file A plan in words. */
import { isBent } from './law/rateLaw.ts'
import type { Plan, RateEstimate } from './plan.ts'

const short = (value: number): string => String(Number(value.toPrecision(4)))
const percent = (share: number): string => {
  const digits = (100 * Math.abs(share)).toFixed(1)
  return `${share < 0 && digits !== '0.0' ? '−' : '+'}${digits}%`
}
const within = (low: number | null, high: number | null): string =>
  low === null || high === null ? 'interval unknown' : `${short(low)} to ${short(high)}`
const give = (value: number, error: number | null): string =>
  `${value.toFixed(3)} ± ${error === null ? 'unknown' : error.toFixed(3)}`
const outside = (extrapolated: boolean): string => (extrapolated ? ', beyond the measured runs' : '')

/** A misfit that a plan is better off without. */
const notable = 0.05

const errorsFrom: Readonly<Record<Plan['law']['line']['fit']['errorsFrom'], string>> = {
  scatter: "errors and intervals from the runs' scatter about the law",
  points: 'two settings: errors and intervals from their measuring errors alone, a third would test the law',
  unknown: 'two settings without errors: no intervals, a third would give them',
}

const upTo = (share: number): string => `${(100 * share).toFixed(1)}%`

/** The terms of a bent law as they are written: x stands for b − u(c_lf). */
const polynomial = (terms: Plan['law']['surface']['terms']): string =>
  terms
    .map(([i, j]) => {
      const factors = [['', 'x', 'x²'][i], ['', 'b', 'b²'][j]].filter((factor) => factor !== '')
      return factors.length === 0 ? '1' : factors.join('·')
    })
    .join(', ')

/** How well the law holds, and what is used in its place where it does not. */
const bendLines = (law: Plan['law']): string[] => {
  const { line, surface, largestMisfit } = law
  if (isBent(law))
    return [
      `  the line misses settings that are left out by up to ${upTo(line.largestLeftOut ?? 0)}; predicted by ln R of ${polynomial(surface.terms)} with x = b − u(c_lf): by up to ${upTo(surface.largestLeftOut ?? 0)}`,
    ]
  return line.fit.points === 3 && largestMisfit > notable
    ? [`  the line misses them by up to ${upTo(largestMisfit)}; with a fourth setting it may bend`]
    : []
}

/** A predicted rate with what its bounds mean. */
const rateText = (law: Plan['law'], { bitsPerPixel, low, high, extrapolated }: RateEstimate): string => {
  const bounds =
    law.surface.fit.errorsFrom === 'scatter'
      ? `, 95% of runs within ${within(low, high)}`
      : law.surface.fit.errorsFrom === 'points'
        ? `, by measuring errors alone ${within(low, high)}`
        : ', bounds unknown'
  return `${short(bitsPerPixel)} bits/pixel${bounds}${outside(extrapolated)}`
}

const planLines = ({ law, plan, budget }: Plan): string[] => {
  if (plan === null) return []
  const { proposal, rate, atBias, atLossFactor, wanted } = plan
  return [
    ...(budget === null
      ? []
      : [
          `best for ${budget.trainingFlops.toPrecision(3)} training FLOPs: ${short(budget.bitsPerPixel)} bits/pixel (${within(budget.low, budget.high)})${outside(budget.extrapolated)}`,
          ...budget.law.optima.map(
            ({ trainingFlops, runs, bitsPerPixel, logError, lacks }) =>
              `  ${trainingFlops.toPrecision(3)} FLOPs, ${runs} runs: ${lacks ?? `${short(bitsPerPixel!)} bits/pixel${logError === null ? '' : ` ± ${(100 * logError).toFixed(1)}%`}`}`,
          ),
        ]),
    `for ${short(wanted)} bits/pixel${plan.whyBias === null ? '' : ` (the bias: ${plan.whyBias})`}:`,
    `  ${plan.set.map((setting) => `--set ${setting}`).join(' ')}`,
    `  rate ${rateText(law, rate)}`,
    ...[atBias, atLossFactor].flatMap((way) => {
      if (way === null) return []
      const [name, value, fixed] =
        way.solvedFor === 'lossFactor'
          ? ['loss factor', way.lossFactor, `bias ${short(way.bias)}`]
          : ['bias', way.bias, `loss factor ${short(way.lossFactor)}`]
      const [least, most] = law.surface.biasRange
      const beyond = outside(way.bias < least || way.bias > most)
      const which = way.solvedFor === proposal.solvedFor ? 'proposed' : 'or'
      return `  ${which}: ${name} ${short(value)} (${within(way.low, way.high)}) at ${fixed}${beyond}`
    }),
  ]
}

const checkLines = ({ check }: Plan): string[] => {
  if (check === null) return []
  const inside = check.settings.filter((setting) => setting.inside === true).length
  return [
    'runs that were not in the fit:',
    ...check.settings.map(
      ({ measured, predicted, relativeError, inside }) =>
        `  c_lf ${short(measured.lossFactor)}, b ${short(measured.bias)}: predicted ${short(predicted.bitsPerPixel)} (${within(predicted.low, predicted.high)}), measured ${short(measured.bitsPerPixel)}, ${percent(relativeError)}${inside === null ? '' : inside ? ', inside' : ', outside'}${outside(predicted.extrapolated)}`,
    ),
    `  largest error ${(100 * check.largestError).toFixed(1)}%, ${inside} of ${check.settings.length} inside the interval`,
  ]
}

/** What `ul plan` prints. */
export const planText = (p: Plan): string => {
  const { law, settings, prediction } = p
  const runs = settings.reduce((sum, setting) => sum + setting.runs.length, 0)
  return [
    ...p.leftOut.map(({ dir, reason }) => `left out ${dir}: ${reason}`),
    `ln R = a + k·(b − u(c_lf)): a ${give(law.a, law.aError)}, k ${give(law.k, law.kError)}; ${settings.length} settings, ${runs} runs`,
    `  ${errorsFrom[law.surface.fit.errorsFrom]}`,
    ...bendLines(law),
    ...settings.map(
      (s) =>
        `  c_lf ${short(s.lossFactor)}, b ${short(s.bias)}: ${short(s.bitsPerPixel)} bits/pixel, law ${short(s.fitted)}, ${percent(s.fitted / s.bitsPerPixel - 1)}`,
    ),
    ...planLines(p),
    ...(prediction === null
      ? []
      : [`c_lf ${short(prediction.lossFactor)}, b ${short(prediction.bias)}: ${rateText(law, prediction)}`]),
    ...checkLines(p),
  ].join('\n')
}
