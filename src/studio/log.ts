/** @file The log of a run (runs/metrics.ts) as it grows, held in memory; lines that do not read are counted. */
import { growingFile } from '../files/growing.ts'
import { recordIn } from '../runs/metricLines.ts'
import { type Block, createBlock } from './block.ts'
import { formOf, type LineForm, readByForm } from './numbers.ts'

/** A log that is held in memory. */
export interface RunLog {
  /** Reads what has come since. @throws when the file cannot be read; what was known is then forgotten */
  update(): Promise<void>
  /** Names of metrics by stage, in the order in which they were first logged. */
  metrics(): Readonly<Record<string, readonly string[]>>
  /** The lines of a stage that have a metric, by kind. */
  blocks(stage: string, metric: string): Block[]
  /** Whole lines read, and those among them that are no record. */
  readonly lines: number
  readonly damaged: number
  /** Bytes that it holds. */
  readonly bytes: number
}

/** Bytes read at once. */
export const pieceBytes: number = 2 ** 21
/** Kinds of lines at most; those of further ones count as damaged. */
const mostKinds = 256
/** Numbers of a line at most. */
const mostNumbers = 4096

const newline = 10

/** Lines of one kind. */
interface Kind {
  readonly form: LineForm
  readonly block: Block
}

/** What is known of a file. */
interface Known {
  readonly kinds: Map<string, Kind>
  /** The kind of the line before, which the next is tried by first. */
  last: Kind | null
  lines: number
  damaged: number
}

const nothing = (): Known => ({ kinds: new Map(), last: null, lines: 0, damaged: 0 })

const scratch = new Float64Array(mostNumbers)

/** The kind of a line that is read as JSON, and its numbers in `scratch`; null where it is no record. */
const kindOf = (known: Known, text: string, bytesLeft: number): Kind | null => {
  const record = recordIn(text)
  if (record === null || !Number.isFinite(record.step)) return null
  const form = formOf(record)
  if (form.names.length > mostNumbers) return null
  form.names.forEach((name, i) => {
    scratch[i] = record[name] === null ? Number.NaN : Number(record[name])
  })
  const key = JSON.stringify([form.stage, form.names, form.others])
  const found = known.kinds.get(key)
  if (found !== undefined) return found
  if (known.kinds.size >= mostKinds) return null
  const kind = { form, block: createBlock(form.names, Math.ceil(bytesLeft / (text.length + 1))) }
  known.kinds.set(key, kind)
  return kind
}

/** Reads one line. @param bytesLeft bytes from there to the end of the file, by which room is made */
const readLine = (known: Known, bytes: Buffer, span: readonly [number, number], bytesLeft: number): void => {
  known.lines++
  const { last } = known
  const isLike = last !== null && readByForm(bytes, span, last.form, scratch)
  const kind = isLike ? last : kindOf(known, bytes.toString('utf8', ...span), bytesLeft)
  if (kind === null || Number.isNaN(scratch[kind.form.names.indexOf('step')])) {
    known.damaged++
    return
  }
  kind.block.add(scratch)
  known.last = kind
}

/** Reads a piece of whole lines, or a part of a line that is too long, of which nothing is kept. */
const readLines = (known: Known, piece: Buffer, bytesLeft: number): void => {
  let from = 0
  for (let end = piece.indexOf(newline); end >= 0; end = piece.indexOf(newline, from)) {
    readLine(known, piece, [from, end], bytesLeft - from)
    from = end + 1
  }
  if (from > 0) return
  known.lines++
  known.damaged++
}

/**
 * A log by its path; nothing is read yet.
 * @param piece what it is read into, pieceBytes long; no other log may be read into it meanwhile
 */
export const openLog = (path: string, piece: Buffer = Buffer.alloc(pieceBytes)): RunLog => {
  const file = growingFile(path, piece)
  let known = nothing()
  let underWay: Promise<void> | null = null
  const forget = (): void => {
    known = nothing()
  }
  const read = (): Promise<void> =>
    file.readOn((lines, bytesLeft) => readLines(known, lines, bytesLeft), forget)
  const kinds = (): Kind[] => [...known.kinds.values()]
  return {
    update: () => {
      underWay ??= read()
        .catch((error: unknown) => {
          file.forget()
          forget()
          throw error
        })
        .finally(() => {
          underWay = null
        })
      return underWay
    },
    metrics: () => {
      const found = new Map<string, string[]>()
      for (const { form } of kinds()) {
        const before = found.get(form.stage) ?? []
        const more = form.names.filter((name) => name !== 'step' && !before.includes(name))
        found.set(form.stage, [...before, ...more])
      }
      return Object.fromEntries(found)
    },
    blocks: (stage, metric) =>
      kinds()
        .filter(({ form }) => form.stage === stage && metric !== 'step' && form.names.includes(metric))
        .map(({ block }) => block),
    get lines() {
      return known.lines
    },
    get damaged() {
      return known.damaged
    },
    get bytes() {
      return kinds().reduce((sum, { block }) => sum + block.bytes, 0)
    },
  }
}
