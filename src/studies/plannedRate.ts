/** @file The setting for a wanted rate by a law that is known, as it is typed. */
import { planRate, type RateLaw, type RatePlan, type RateSetting } from './law/rateLaw.ts'

/** How to reach a rate; `set` are values of `--set`. */
export interface PlannedRate extends RatePlan {
  readonly wanted: number
  readonly set: readonly string[]
}

/** A number short enough to type, exact where it is short already. */
const typed = (value: number): string => String(Number(value.toPrecision(4)))

/**
 * The setting that gives a rate.
 * @param wanted bits/pixel, above 0
 * @param given the bias or the loss factor to keep
 * @throws see planRate
 */
export const plannedRate = (law: RateLaw, wanted: number, given: Partial<RateSetting> = {}): PlannedRate => {
  const plan = planRate(law, wanted, given)
  const { lossFactor, bias } = plan.proposal
  return { ...plan, wanted, set: [`decoder.lossFactor=${typed(lossFactor)}`, `decoder.bias=${typed(bias)}`] }
}
