/** @file Smoothing of a curve: the exponential average without its bias towards zero. */

/**
 * The average of each value and those before it, weights falling by `weight` per value and adding up to one:
 * yᵢ = Σⱼ≤ᵢ wⁱ⁻ʲ xⱼ / Σⱼ≤ᵢ wⁱ⁻ʲ. Where there is no value there is none, and the average goes on behind.
 * @param weight from 0, which changes nothing, to less than 1
 */
export const smooth = (values: readonly (number | null)[], weight: number): (number | null)[] => {
  let [sum, total] = [0, 0]
  return values.map((value) => {
    if (value === null) return null
    sum = weight * sum + value
    total = weight * total + 1
    return sum / total
  })
}
