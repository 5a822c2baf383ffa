/**
 * @file Samplers as coefficients: one step t → s is x_s = keep·x_t + clean·x̂ + noise·ε, whatever the sampler, so one
 * traced program serves them all.
 */
import { alphaOf, type Schedule, sigmaOf } from './schedule.ts'

/** Coefficients of one step. */
export interface Step {
  /** λ_t, at which the network is asked. */
  readonly logSnr: number
  readonly keep: number
  readonly clean: number
  readonly noise: number
}

/** How to sample. */
export interface SamplerConfig {
  readonly kind: 'ancestral' | 'ddim'
  /** Number of network evaluations. */
  readonly steps: number
  /** Ancestral variance between the lower bound (0) and the upper bound (1), in log space. */
  readonly variance: number
}

/**
 * Ancestral step (method.md section 4): c = −expm1(λ_t − λ_s), mean α_s(x_t(1−c)/α_t + c·x̂), variance between
 * σ_s²c and σ_t²c.
 */
const ancestralStep = (logSnrT: number, logSnrS: number, variance: number): Step => {
  const c = -Math.expm1(logSnrT - logSnrS)
  const [alphaS, sigmaS, sigmaT] = [alphaOf(logSnrS), sigmaOf(logSnrS), sigmaOf(logSnrT)]
  const deviation = Math.sqrt(c) * sigmaT ** variance * sigmaS ** (1 - variance)
  return { logSnr: logSnrT, keep: (alphaS / alphaOf(logSnrT)) * (1 - c), clean: alphaS * c, noise: deviation }
}

/** DDIM step: x_s = α_s·x̂ + (σ_s/σ_t)(x_t − α_t·x̂). */
const ddimStep = (logSnrT: number, logSnrS: number): Step => {
  const keep = sigmaOf(logSnrS) / sigmaOf(logSnrT)
  return { logSnr: logSnrT, keep, clean: alphaOf(logSnrS) - keep * alphaOf(logSnrT), noise: 0 }
}

/**
 * The steps of a whole chain on a grid uniform in t.
 * @param end `noisy` stops at λ(0), where the decoder was trained (the latent chain, method.md section 4); `clean`
 *   returns the final prediction x̂ (pixels)
 * @throws when there are no steps.
 */
export const samplerSteps = (schedule: Schedule, config: SamplerConfig, end: 'noisy' | 'clean'): Step[] => {
  const { kind, steps, variance } = config
  if (!Number.isInteger(steps) || steps < 1)
    throw new Error(`sampler: ${steps} steps; give a whole number from 1 on`)
  return Array.from({ length: steps }, (_, i) => {
    const logSnrT = schedule.logSnr(1 - i / steps)
    if (i === steps - 1 && end === 'clean') return { logSnr: logSnrT, keep: 0, clean: 1, noise: 0 }
    const logSnrS = schedule.logSnr(1 - (i + 1) / steps)
    return kind === 'ddim' ? ddimStep(logSnrT, logSnrS) : ancestralStep(logSnrT, logSnrS, variance)
  })
}

/** Guidance strength by noise level: `scale` inside the interval, 1 (no guidance) outside (Kynkäänniemi et al. 2024). */
export interface Guidance {
  readonly scale: number
  /** Log-SNR interval in which guidance acts. */
  readonly logSnrMin: number
  readonly logSnrMax: number
}

/** The guidance scale at a noise level. */
export const guidanceAt = ({ scale, logSnrMin, logSnrMax }: Guidance, logSnr: number): number =>
  logSnr >= logSnrMin && logSnr <= logSnrMax ? scale : 1
