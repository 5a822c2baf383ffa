/**
 * @file The log of a run (runs/metrics.ts) as it grows: what was read is not read again, half a line waits for its end, lines
 * that do not read are counted, and a log that was written anew is read anew.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
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

/** Bytes read at once, between which others get their turn. */
export const pieceBytes: number = 2 ** 21
/** Bytes of a line at most; of a longer one nothing is kept. */
const longestLine = 2 ** 20
/** Bytes before the end of what was read by which a log is known again. */
const endBytes = 64
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
  /** Bytes of whole lines read, the last of them, and the number of the file. */
  at: number
  end: Buffer
  inode: bigint
}

const nothing = (inode: bigint): Known => ({
  ...{ kinds: new Map(), last: null, lines: 0, damaged: 0, at: 0, end: Buffer.alloc(0), inode },
})

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

/** Reads the whole lines of a piece. @returns how many bytes they have */
const readLines = (known: Known, piece: Buffer, bytesLeft: number): number => {
  let from = 0
  for (let end = piece.indexOf(newline); end >= 0; end = piece.indexOf(newline, from)) {
    readLine(known, piece, [from, end], bytesLeft - from)
    from = end + 1
  }
  return from
}

/** Whether a file begins as the one that was read. */
const isSame = async (file: FileHandle, known: Known, inode: bigint, size: number): Promise<boolean> => {
  if (inode !== known.inode || size < known.at) return false
  const { end } = known
  const { buffer } = await file.read(Buffer.alloc(end.length), 0, end.length, known.at - end.length)
  return buffer.equals(end)
}

/** Reads whole lines from where reading stands to the end that the file has now, in pieces of the buffer's size. */
const readOn = async (file: FileHandle, known: Known, size: number, buffer: Buffer): Promise<void> => {
  while (known.at < size) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, size - known.at), known.at)
    if (bytesRead === 0) return
    const piece = buffer.subarray(0, bytesRead)
    let done = readLines(known, piece, size - known.at)
    if (done === 0) {
      if (bytesRead < longestLine) return
      // A line that never ends: what was read of it is passed over, and its rest is damage again.
      known.lines++
      known.damaged++
      done = bytesRead
    }
    known.at += done
    known.end = Buffer.from(piece.subarray(Math.max(0, done - endBytes), done))
    await setImmediate()
  }
}

/**
 * A log by its path; nothing is read yet.
 * @param piece what it is read into, pieceBytes long; no other log may be read into it meanwhile
 */
export const openLog = (path: string, piece: Buffer = Buffer.alloc(pieceBytes)): RunLog => {
  let known = nothing(0n)
  let underWay: Promise<void> | null = null
  const read = async (): Promise<void> => {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK) // a pipe would wait for its writer
    try {
      const info = await file.stat({ bigint: true })
      if (!info.isFile()) throw new Error(`${path}: this is no file`)
      const size = Number(info.size)
      if (!(await isSame(file, known, info.ino, size))) known = nothing(info.ino)
      await readOn(file, known, size, piece)
    } finally {
      await file.close()
    }
  }
  const kinds = (): Kind[] => [...known.kinds.values()]
  return {
    update: () => {
      underWay ??= read()
        .catch((error: unknown) => {
          known = nothing(0n)
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
