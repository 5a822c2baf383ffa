/** @file Means of measured values, and how far they may be off. */

/** The arithmetic mean. */
export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length

const variance = (values: readonly number[]): number => {
  const m = mean(values)
  return values.reduce((a, b) => a + (b - m) ** 2, 0) / Math.max(1, values.length - 1)
}

/** Standard deviation (N − 1 below), 0 for one value. */
export const deviation = (values: readonly number[]): number => Math.sqrt(variance(values))

/** Mean and its standard error. */
export const meanAndError = (
  values: readonly number[],
): { readonly mean: number; readonly error: number } => ({
  mean: mean(values),
  error: Math.sqrt(variance(values) / values.length),
})
