/**
 * @file Log-SNR schedules λ(t): t = 0 least noise, t = 1 pure noise, λ falls. Host numbers in float64: noise levels
 * and loss weights are inputs of a program, never nodes.
 */

/** A schedule by the name and the constants of its formula, for others to compute. */
export type ScheduleForm =
  | { readonly name: 'linear' }
  | { readonly name: 'cosine'; readonly shift: number }
  | { readonly name: 'weight'; readonly bias: number }

/** A noise schedule with exact end points. */
export interface Schedule {
  readonly form: ScheduleForm
  /** λ(t) for t in [0, 1]. */
  logSnr(t: number): number
  /** dλ/dt, negative. */
  slope(t: number): number
  /** λ(0), the least noise. */
  readonly logSnr0: number
  /** λ(1), the most noise. */
  readonly logSnr1: number
}

/** The logistic function; stable for any finite x. */
export const sigmoid = (x: number): number =>
  x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))

/** α = √sigmoid(λ), the signal's share of a variance preserving mixture (method.md section 2). */
export const alphaOf = (logSnr: number): number => Math.sqrt(sigmoid(logSnr))
/** σ = √sigmoid(−λ), the noise's share. */
export const sigmaOf = (logSnr: number): number => Math.sqrt(sigmoid(-logSnr))

const checkRange = (logSnr0: number, logSnr1: number): void => {
  if (!(Number.isFinite(logSnr0) && Number.isFinite(logSnr1) && logSnr0 > logSnr1)) {
    throw new Error(
      `schedule: log-SNR must fall from t=0 to t=1, found ${logSnr0} to ${logSnr1}; swap or change them`,
    )
  }
}

/**
 * λ linear in t. The unweighted prior loss has its least variance with it.
 * @throws when logSnr0 is not above logSnr1.
 */
export const linearSchedule = (logSnr0: number, logSnr1: number): Schedule => {
  checkRange(logSnr0, logSnr1)
  return {
    form: { name: 'linear' },
    logSnr0,
    logSnr1,
    logSnr: (t) => (1 - t) * logSnr0 + t * logSnr1, // exact at both ends, whatever the rounding
    slope: () => logSnr1 - logSnr0,
  }
}

/**
 * Cosine schedule shifted by `shift` (2 ln(32/size) for images of `size` pixels) whose end points stay exact
 * (simple diffusion, Hoogeboom et al. 2023): λ = shift − 2 ln tan(τ), with τ between the angles that give the two end points.
 * @throws when logSnr0 is not above logSnr1.
 */
export const cosineSchedule = (logSnr0: number, logSnr1: number, shift = 0): Schedule => {
  checkRange(logSnr0, logSnr1)
  const angle0 = Math.atan(Math.exp((shift - logSnr0) / 2))
  const angle1 = Math.atan(Math.exp((shift - logSnr1) / 2))
  const angle = (t: number): number => angle0 + t * (angle1 - angle0)
  return {
    form: { name: 'cosine', shift },
    logSnr0,
    logSnr1,
    logSnr: (t) => (t === 0 ? logSnr0 : t === 1 ? logSnr1 : shift - 2 * Math.log(Math.tan(angle(t)))),
    slope: (t) => (-4 * (angle1 - angle0)) / Math.sin(2 * angle(t)),
  }
}

/**
 * λ drawn where a sigmoid-weighted loss of v lies: its density is sigmoid(b − λ)·sigmoid(λ), so that every draw has the same
 * weight (method.md section 3). The integral of that density is ln((1 + e^λ)/(1 + e^(λ−b)))/(1 − e^−b).
 * @throws when logSnr0 is not above logSnr1.
 */
export const weightSchedule = (logSnr0: number, logSnr1: number, bias: number): Schedule => {
  checkRange(logSnr0, logSnr1)
  // At b = 0 the two logarithms coincide; the density hardly differs from that of a bias close by.
  const b = Math.abs(bias) < 1e-3 ? 1e-3 : bias
  const scale = -Math.expm1(-b)
  const integral = (logSnr: number): number =>
    (Math.log1p(Math.exp(logSnr)) - Math.log1p(Math.exp(logSnr - b))) / scale
  const [high, low] = [integral(logSnr0), integral(logSnr1)]
  const inverse = (area: number): number => {
    const ratio = Math.expm1(area * scale)
    return Math.log(ratio / (scale - ratio * Math.exp(-b)))
  }
  const logSnr = (t: number): number =>
    t === 0 ? logSnr0 : t === 1 ? logSnr1 : inverse(high + t * (low - high))
  return {
    form: { name: 'weight', bias: b },
    logSnr0,
    logSnr1,
    logSnr,
    slope: (t) => (low - high) / (sigmoid(b - logSnr(t)) * sigmoid(logSnr(t))),
  }
}

/** The shift that keeps the noise per visible detail constant across resolutions: 2 ln(32/size) (simple diffusion, eq. 5). */
export const resolutionShift = (size: number): number => 2 * Math.log(32 / size)

/**
 * Stratified times t_i = (u + i/B) mod 1 (VDM's low-discrepancy sampler; method.md section 3).
 * @param u one uniform number in [0, 1) for the whole batch
 */
export const stratifiedTimes = (u: number, B: number): number[] =>
  Array.from({ length: B }, (_, i) => (u + i / B) % 1)
