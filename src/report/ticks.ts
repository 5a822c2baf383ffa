/** @file Round numbers along an axis, and how they are written. */

const trim = (digits: string): string => (digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits)

const units: readonly (readonly [number, string])[] = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
]

/**
 * A number in few characters: `0.05`, `12k`, `1.5M`, `−2e-5`; a dash when it is not finite.
 * @param digits largest number of significant digits.
 */
export const formatNumber = (x: number, digits: number = 4): string => {
  if (!Number.isFinite(x)) return '–'
  const sign = x < 0 ? '−' : ''
  // Rounded first, so that 999,960 becomes 1M and not 1000k.
  const size = Number(Math.abs(x).toPrecision(digits))
  if (size !== 0 && (size >= 1e15 || size < 1e-3)) {
    const [mantissa, exponent] = size.toExponential(digits - 1).split('e')
    return `${sign}${trim(mantissa)}e${Number(exponent)}`
  }
  const [unit, letter] = units.find(([least]) => size >= least) ?? [1, '']
  return `${sign}${trim((size / unit).toPrecision(digits))}${letter}`
}

/**
 * Multiples of 1, 2 or 5 times a power of ten that lie in [low, high], about `count` of them.
 * @throws when low is not below high.
 */
export const linearTicks = (low: number, high: number, count: number): number[] => {
  if (!(low < high)) throw new Error(`ticks: [${low}, ${high}] is not an interval`)
  const raw = (high - low) / count
  const exponent = Math.floor(Math.log10(raw))
  const power = 10 ** exponent
  const multiple = [1, 2, 5].find((m) => m * power >= raw * 0.999) ?? 10
  const first = Math.ceil(low / power / multiple - 1e-9)
  const last = Math.floor(high / power / multiple + 1e-9)
  // Read as decimals, or 3·0.1 would be written as 0.30000000000000004.
  return Array.from({ length: last - first + 1 }, (_, i) => Number(`${(first + i) * multiple}e${exponent}`))
}

/** Multiples of the powers of ten from fine to coarse. */
const logMultiples: readonly (readonly number[])[] = [[1, 2, 3, 4, 5, 6, 8], [1, 2, 5], [1, 3], [1]]

/**
 * Powers of ten in [low, high], with multiples between them where there are few, thinned where there are many more
 * than `count`; round numbers at equal distance where the interval is too short for that.
 * @throws when not 0 < low < high.
 */
export const logTicks = (low: number, high: number, count: number): number[] => {
  if (!(low > 0 && low < high))
    throw new Error(`ticks: [${low}, ${high}] is not an interval of positive numbers`)
  const from = Math.floor(Math.log10(low))
  const decades = Math.ceil(Math.log10(high)) - from + 1
  const exponents = Array.from({ length: decades }, (_, i) => from + i)
  const inside = (tick: number): boolean => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)
  const candidates = logMultiples.map((multiples) =>
    exponents.flatMap((exponent) => multiples.map((m) => Number(`${m}e${exponent}`))).filter(inside),
  )
  const ticks = candidates.find((list) => list.length <= count + 2)
  if (ticks === undefined) {
    const every = Math.ceil(decades / count)
    return exponents
      .filter((exponent) => exponent % every === 0)
      .map((exponent) => Number(`1e${exponent}`))
      .filter(inside)
  }
  return ticks.length >= 3 ? ticks : linearTicks(low, high, count)
}
