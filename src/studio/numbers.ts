/**
 * @file Lines of a log that look like the one before them: only their numbers are read, from bytes, without making a text or
 * an object of the line. A run logs the same names in the same order, so that nearly all lines are such.
 */
import type { MetricRecord, MetricValue } from '../runs/metricLines.ts'

/** What the lines of one kind have in common. */
export interface LineForm {
  readonly stage: string
  /** Names whose values are numbers, `step` among them, in their order. */
  readonly names: readonly string[]
  /** Names whose values are something else. */
  readonly others: readonly string[]
  /** The bytes before each number, and those after the last. */
  readonly literals: readonly Uint8Array[]
}

const isNumber = (value: MetricValue): boolean => typeof value === 'number' || value === null

/** The form of a record; of one that holds more than its stage and numbers, without literals, so that no line is read by it. */
export const formOf = (record: MetricRecord): LineForm => {
  const { stage } = record
  const literals: Uint8Array[] = []
  const [names, others]: [string[], string[]] = [[], []]
  let text = '{'
  for (const [name, value] of Object.entries(record)) {
    text += `${text === '{' && literals.length === 0 ? '' : ','}${JSON.stringify(name)}:`
    if (name === 'stage') text += JSON.stringify(stage)
    else if (isNumber(value)) {
      names.push(name)
      literals.push(Buffer.from(text))
      text = ''
    } else others.push(name)
  }
  return { stage, names, others, literals: others.length > 0 ? [] : [...literals, Buffer.from(`${text}}`)] }
}

/** Powers of ten that are doubles. */
const powers = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`))
/** Digits that one 32-bit integer holds; a number is read into two, and what has more digits is cut. */
const half = 9

const [zero, nine, minus, plus, point, e, E] = [...'09-+.eE'].map((c) => c.charCodeAt(0))
const nullBytes = Buffer.from('null')

/** The number that was read last: calls go by tens of millions, and none of them makes an object. */
let number = 0

/**
 * Reads a number by JSON's grammar, or null as NaN. One of up to 15 digits is exact; one of more is right to two units in
 * the last place, as reading it exactly would take the time of all else.
 * @returns where it ends; −1 where there is none
 */
const readNumber = (bytes: Uint8Array, from: number): number => {
  let at = from
  if (bytes[at] === nullBytes[0]) {
    for (let i = 1; i < nullBytes.length; i++) if (bytes[at + i] !== nullBytes[i]) return -1
    number = Number.NaN
    return at + nullBytes.length
  }
  const isNegative = bytes[at] === minus
  if (isNegative) at++
  // One by one: a list of them would be an object.
  let high = 0
  let low = 0
  let digits = 0
  let exponent = 0
  const first = at
  let fraction = -1
  for (; ; at++) {
    const byte = bytes[at]
    if (byte >= zero && byte <= nine) {
      if (digits < half) {
        high = (high * 10 + byte - zero) | 0
        if (high > 0) digits++
      } else if (digits < 2 * half) {
        low = (low * 10 + byte - zero) | 0
        digits++
      } else exponent++
    } else if (byte === point && fraction < 0 && at > first) fraction = at
    else break
  }
  const whole = (fraction < 0 ? at : fraction) - first
  if (whole === 0 || fraction === at - 1 || (bytes[first] === zero && whole > 1)) return -1
  if (fraction >= 0) exponent -= at - fraction - 1
  if (bytes[at] === e || bytes[at] === E) {
    at++
    const isDown = bytes[at] === minus
    if (isDown || bytes[at] === plus) at++
    const start = at
    let power = 0
    for (; bytes[at] >= zero && bytes[at] <= nine; at++) power = Math.min(9999, power * 10 + bytes[at] - zero)
    if (at === start) return -1
    exponent += isDown ? -power : power
  }
  const power = Math.abs(exponent)
  const read = digits > half ? high * powers[digits - half] + low : high
  if (power >= powers.length) number = Number(Buffer.from(bytes.subarray(first, at)).toString('latin1'))
  else number = exponent < 0 ? read / powers[power] : read * powers[power]
  if (isNegative) number = -number
  return at
}

/**
 * Reads the numbers of a line, from `from` to before `end`.
 * @param into its numbers, in the order of the form's names
 * @returns whether the line is of that form; `into` holds anything otherwise
 */
export const readByForm = (
  bytes: Uint8Array,
  [from, end]: readonly [number, number],
  { literals }: LineForm,
  into: Float64Array,
): boolean => {
  let at = from
  for (let i = 0; i < literals.length; i++) {
    const literal = literals[i]
    for (let j = 0; j < literal.length; j++) if (bytes[at + j] !== literal[j]) return false
    at += literal.length
    if (i === literals.length - 1) break
    at = readNumber(bytes, at)
    if (at < 0) return false
    into[i] = number
  }
  return literals.length > 0 && at === end
}
