/**
 * @file The numbers of one kind of line as columns over steps. A block of more rows than any chart needs is thinned: two rows
 * become one that keeps the least, the greatest and the mean, so that memory is bounded and no peak is lost.
 */

/** Rows of a block at most; when there are more, it is thinned to half of them. */
export const mostRows: number = 2 ** 19

/** A metric by row. All are one array while a row is a line. */
interface Column {
  readonly min: Float64Array
  readonly max: Float64Array
  readonly mean: Float64Array
}

/** Lines of one kind. */
export interface Block {
  /** How many rows there are. */
  readonly rows: number
  /** Lines of a row, but for the last ones of a step that was logged again. */
  readonly linesPerRow: number
  /** The last step of each row, rising. */
  readonly step: Float64Array
  /** @throws when the kind has no such metric */
  column(metric: string): Column
  /** Adds a line. One of a step that was logged already takes the place of all from there on. @param numbers step and metrics, in the order of the names */
  add(numbers: Float64Array): void
  /** Bytes that it holds. */
  readonly bytes: number
}

const grown = (array: Float64Array, length: number): Float64Array => {
  const larger = new Float64Array(length)
  larger.set(array.subarray(0, length))
  return larger
}

/** The mean of two numbers, of which one may be missing. */
const meanOf = (a: number, b: number): number => (Number.isNaN(a) ? b : Number.isNaN(b) ? a : (a + b) / 2)
const lesser = (a: number, b: number): number => (Number.isNaN(a) || b < a ? b : a)
const greater = (a: number, b: number): number => (Number.isNaN(a) || b > a ? b : a)

const halved = (array: Float64Array, join: (a: number, b: number) => number): Float64Array => {
  const half = new Float64Array(mostRows)
  for (let i = 0; i < array.length >> 1; i++) half[i] = join(array[2 * i], array[2 * i + 1])
  return half
}

/** Columns with room for so many rows. */
const withRoom = (columns: readonly Column[], room: number, isThinned: boolean): Column[] =>
  columns.map(({ min, max, mean }) => {
    const wider = grown(mean, room)
    return isThinned
      ? { min: grown(min, room), max: grown(max, room), mean: wider }
      : { min: wider, max: wider, mean: wider }
  })

/** Joins a number to a row whose mean is of so many lines. */
const joinTo = ({ min, max, mean }: Column, row: number, value: number, lines: number): void => {
  if (Number.isNaN(value)) return
  const before = mean[row]
  min[row] = lesser(min[row], value)
  max[row] = greater(max[row], value)
  mean[row] = Number.isNaN(before) ? value : before + (value - before) / (lines + 1)
}

/** Full columns of half as many rows. */
const thinned = (columns: readonly Column[]): Column[] =>
  columns.map(({ min, max, mean }) => ({
    min: halved(min, lesser),
    max: halved(max, greater),
    mean: halved(mean, meanOf),
  }))

/**
 * An empty block.
 * @param names of the numbers of a line, `step` among them
 * @param expected rows to make room for
 */
export const createBlock = (names: readonly string[], expected: number): Block => {
  let room = Math.min(mostRows, Math.max(16, expected))
  let rows = 0
  let linesPerRow = 1
  // Lines in a row that is not full yet; only in a thinned block.
  let pending = 0
  const stepAt = names.indexOf('step')
  let columns: Column[] = names.map(() => {
    const values = new Float64Array(room)
    return { min: values, max: values, mean: values }
  })

  const makeRoom = (): void => {
    if (rows < room) return
    if (room < mostRows) {
      room = Math.min(mostRows, room * 2)
      columns = withRoom(columns, room, linesPerRow > 1)
      return
    }
    columns = thinned(columns)
    rows = room >> 1
    linesPerRow *= 2
  }

  /** The last step of each row is its greatest. */
  const steps = (): Float64Array => columns[stepAt].max

  const dropFrom = (at: number): void => {
    while (rows > 0 && steps()[rows - 1] >= at) {
      rows--
      pending = 0
    }
  }

  /** Joins a line to the last row, whose mean is of `pending` lines. */
  const join = (numbers: Float64Array): void => {
    const row = rows - 1
    for (const [i, column] of columns.entries()) joinTo(column, row, numbers[i], pending)
    pending = (pending + 1) % linesPerRow
  }

  return {
    get rows() {
      return rows
    },
    get linesPerRow() {
      return linesPerRow
    },
    get step() {
      return steps()
    },
    column: (metric) => {
      const found = columns[names.indexOf(metric)]
      if (found === undefined) throw new Error(`${metric}: not a metric of these lines`)
      return found
    },
    add: (numbers) => {
      const at = numbers[stepAt]
      if (rows > 0 && at <= steps()[rows - 1]) dropFrom(at)
      if (pending > 0) {
        join(numbers)
        return
      }
      makeRoom()
      for (let i = 0; i < columns.length; i++) {
        const { min, max, mean } = columns[i]
        mean[rows] = numbers[i]
        if (linesPerRow === 1) continue
        min[rows] = numbers[i]
        max[rows] = numbers[i]
      }
      rows++
      pending = linesPerRow > 1 ? 1 : 0
    },
    get bytes() {
      return room * 8 * columns.length * (linesPerRow === 1 ? 1 : 3)
    },
  }
}
