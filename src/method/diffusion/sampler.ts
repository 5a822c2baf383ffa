/**
 * @file Samplers as coefficients: one step t → s is x_s = keep·x_t + clean·x̂ + past·x̂_before + noise·ε, whatever the sampler,
 * so one traced program serves them all.
 */
import { alphaOf, type Schedule, sigmaOf } from './schedule.ts'

/** Coefficients of one step. */
export interface Step {
  /** λ_t, at which the network is asked. */
  readonly logSnr: number
  readonly keep: number
  readonly clean: number
  /** Of the prediction of the step before; 0 in the first. */
  readonly past: number
  readonly noise: number
}

/** Where a step goes: from λ_t to λ_s, with λ of the step before; undefined in the first. */
interface Move {
  readonly t: number
  readonly s: number
  readonly before: number | undefined
}

/** A sampler. */
interface Sampler {
  step(move: Move, variance: number): Omit<Step, 'logSnr'>
  /** In words, for protocols. */
  describe(config: SamplerConfig): string
}

/**
 * Ancestral step (paper, section 3.3; Ho et al. 2020, with its variance interpolated): c = −expm1(λ_t − λ_s), mean α_s(x_t(1−c)/α_t + c·x̂),
 * variance between σ_s²c and σ_t²c.
 */
const ancestral: Sampler = {
  step: ({ t, s }, variance) => {
    const c = -Math.expm1(t - s)
    const [alphaS, sigmaS, sigmaT] = [alphaOf(s), sigmaOf(s), sigmaOf(t)]
    const deviation = Math.sqrt(c) * sigmaT ** variance * sigmaS ** (1 - variance)
    return { keep: (alphaS / alphaOf(t)) * (1 - c), clean: alphaS * c, past: 0, noise: deviation }
  },
  describe: ({ steps, variance }) => `ancestral, ${steps} steps, variance ${variance}`,
}

/** DDIM step: x_s = α_s·x̂ + (σ_s/σ_t)(x_t − α_t·x̂). */
const ddim: Sampler = {
  step: ({ t, s }) => {
    const keep = sigmaOf(s) / sigmaOf(t)
    return { keep, clean: alphaOf(s) - keep * alphaOf(t), past: 0, noise: 0 }
  },
  describe: ({ steps }) => `ddim, ${steps} steps`,
}

/**
 * DPM-Solver++ of second order, multistep (Lu et al. 2022, algorithm 2): a DDIM step towards x̂ extrapolated from the last two
 * predictions, D = (1 + 1/2r)·x̂ − 1/2r·x̂_before, r the last step over this one in λ. Its first step is DDIM's.
 */
const multistep: Sampler = {
  step: ({ t, s, before }, variance) => {
    const { keep, clean } = ddim.step({ t, s, before }, variance)
    const extrapolation = before === undefined ? 0 : (s - t) / (2 * (t - before))
    return { keep, clean: clean * (1 + extrapolation), past: -clean * extrapolation, noise: 0 }
  },
  describe: ({ steps }) => `dpm-solver++(2M), ${steps} steps`,
}

/** Names of all samplers, as configurations give them. */
export type SamplerKind = 'ancestral' | 'ddim' | 'dpmpp2m'

/** All samplers, one line each. */
const samplers: Readonly<Record<SamplerKind, Sampler>> = { ancestral, ddim, dpmpp2m: multistep }

/** Names of all samplers. */
export const samplerKinds: readonly SamplerKind[] = Object.keys(samplers) as SamplerKind[]

/** How to sample. */
export interface SamplerConfig {
  readonly kind: SamplerKind
  /** Number of network evaluations. */
  readonly steps: number
  /** Ancestral variance between the lower bound (0) and the upper bound (1), in log space. */
  readonly variance: number
}

/** A sampler in words, as protocols name it. */
export const describeSampler = (config: SamplerConfig): string => samplers[config.kind].describe(config)

/**
 * The steps of a whole chain on a grid uniform in t.
 * @param end `noisy` stops at λ(0), where the decoder was trained (the latent chain, section 3.3); `clean` returns the final
 *   prediction x̂ (pixels)
 * @throws when there are no steps.
 */
export const samplerSteps = (schedule: Schedule, config: SamplerConfig, end: 'noisy' | 'clean'): Step[] => {
  const { kind, steps, variance } = config
  if (!Number.isInteger(steps) || steps < 1)
    throw new Error(`sampler: ${steps} steps; give a whole number from 1 on`)
  const at = (i: number): number => schedule.logSnr(1 - i / steps)
  return Array.from({ length: steps }, (_, i) => {
    const logSnr = at(i)
    if (i === steps - 1 && end === 'clean') return { logSnr, keep: 0, clean: 1, past: 0, noise: 0 }
    const move = { t: logSnr, s: at(i + 1), before: i === 0 ? undefined : at(i - 1) }
    return { logSnr, ...samplers[kind].step(move, variance) }
  })
}

/** Guidance strength by noise level: `scale` inside the interval, 1 (no guidance) outside (Kynkäänniemi et al. 2024). */
export interface Guidance {
  readonly scale: number
  /** The scale by what is given of clips, against nothing given; 1 (none) when absent. */
  readonly given?: number | undefined
  /** Log-SNR interval in which guidance acts. */
  readonly logSnrMin: number
  readonly logSnrMax: number
}

/** The guidance scale at a noise level. */
export const guidanceAt = (
  { scale, logSnrMin, logSnrMax }: Omit<Guidance, 'given'>,
  logSnr: number,
): number => (logSnr >= logSnrMin && logSnr <= logSnrMax ? scale : 1)
