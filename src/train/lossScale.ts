/**
 * @file By what the loss is multiplied before reverse mode, and the gradient divided before it is clipped, so that small
 * cotangents survive products in float16 (Micikevicius et al., Mixed Precision Training, section 3.2). Powers of two: in
 * float32 no bit changes.
 */

/** The scale as it changes over training. */
export interface LossScale {
  value(): number
  /** Tells how a step at that scale went: whether its loss and gradient were finite. */
  after(wasFinite: boolean): void
}

/** What of a scale a checkpoint keeps. */
export interface LossScaleState {
  readonly value: number
  /** Finite steps in a row at that value. */
  readonly steps: number
}

/** The scale where nothing overflows. */
export const usualScale: number = 2 ** 12

/** A scale that stays as it is. */
export const fixedScale: LossScale = { value: () => usualScale, after: () => undefined }

/** Bounds of a scale that moves, and the finite steps after which it doubles. */
const [least, most, patience] = [1, 2 ** 24, 2000]

/**
 * A scale that halves when a gradient overflows, which skips that step, and doubles after 2,000 finite steps in a row.
 * @param from the largest at first, or what a checkpoint kept
 */
export const dynamicScale = (
  from: LossScaleState = { value: 2 ** 16, steps: 0 },
): LossScale & { state(): LossScaleState } => {
  let { value, steps } = from
  return {
    value: () => value,
    state: () => ({ value, steps }),
    after: (wasFinite) => {
      steps = wasFinite ? steps + 1 : 0
      if (!wasFinite) value = Math.max(least, value / 2)
      else if (steps === patience) {
        value = Math.min(most, value * 2)
        steps = 0
      }
    },
  }
}
