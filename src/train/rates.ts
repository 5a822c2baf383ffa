/** @file Learning rate and averaging by step, as host numbers. */

/** Warm-up, then cosine decay to a fraction of the peak. */
export interface RateConfig {
  readonly lr: number
  readonly warmupSteps: number
  /** Learning rate at the end as a fraction of the peak. */
  readonly finalFraction: number
}

/** Learning rate of step `step` (from 0) of `total`: linear warm-up, then cosine decay. */
export const learningRate = (
  { lr, warmupSteps, finalFraction }: RateConfig,
  step: number,
  total: number,
): number => {
  if (step < warmupSteps) return (lr * (step + 1)) / warmupSteps
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, total - warmupSteps))
  return lr * (finalFraction + (1 - finalFraction) * 0.5 * (1 + Math.cos(Math.PI * progress)))
}

/**
 * Decay of the averaged weights at step `step` (from 0): the full decay, but never longer than a tenth of the steps so
 * far, so that early weights are forgotten: min(decay, (1 + step)/(10 + step)).
 */
export const emaDecayAt = (decay: number, step: number): number => Math.min(decay, (1 + step) / (10 + step))
