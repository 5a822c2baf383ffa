/** @file Smoothing of a curve: the exponential average without its bias towards zero. */

/**
 * The average of each line of a log and those before it, weights falling by `weight` per line and adding up to one:
 * yᵢ = Σⱼ≤ᵢ wⁱ⁻ʲ xⱼ / Σⱼ≤ᵢ wⁱ⁻ʲ. A value that stands for several lines counts as so many equal ones, so that a curve does not
 * change with the parts that it was fetched in. Where there is no value there is none, and the average goes on behind.
 * @param lines how many lines each value stands for
 * @param weight from 0, which changes nothing, to less than 1
 */
export const smooth = (
  values: readonly (number | null)[],
  lines: readonly number[],
  weight: number,
): (number | null)[] => {
  let [sum, total] = [0, 0]
  return values.map((value, i) => {
    if (value === null) return null
    const kept = weight ** lines[i]
    const gained = (1 - kept) / (1 - weight)
    sum = kept * sum + gained * value
    total = kept * total + gained
    return sum / total
  })
}
