import { mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { crc32c, dropDamagedEvents, openEvents } from '../../src/runs/tensorboard.ts'

/** CRC-32C bit by bit, without a table. */
const slowCrc = (bytes: Uint8Array): bigint => {
  let crc = 0xffffffffn
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let i = 0; i < 8; i++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n
  }
  return crc ^ 0xffffffffn
}

const masked = (bytes: Uint8Array): number => {
  const crc = slowCrc(bytes)
  return Number(((((crc >> 15n) | (crc << 17n)) & 0xffffffffn) + 0xa282ead8n) & 0xffffffffn)
}

/** Splits a TFRecord file and checks both checksums of every record. */
const records = (file: Buffer): Buffer[] => {
  const found: Buffer[] = []
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at))
    expect(file.readUInt32LE(at + 8)).toBe(masked(file.subarray(at, at + 8)))
    const data = file.subarray(at + 12, at + 12 + length)
    expect(file.readUInt32LE(at + 12 + length)).toBe(masked(data))
    found.push(data)
    at += 16 + length
  }
  return found
}

/** Walks a protobuf message: field number to its values, varints as bigint, the rest as bytes. */
const walk = (message: Buffer): Map<number, (bigint | Buffer)[]> => {
  const fields = new Map<number, (bigint | Buffer)[]>()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const key = Number(varint())
    const wire = key & 7
    let value: bigint | Buffer
    if (wire === 0) value = varint()
    else {
      const length = wire === 1 ? 8 : wire === 5 ? 4 : Number(varint())
      expect([1, 2, 5]).toContain(wire)
      value = message.subarray(at, at + length)
      at += length
    }
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value])
  }
  expect(at).toBe(message.length)
  return fields
}

const bytes = (fields: Map<number, (bigint | Buffer)[]>, field: number): Buffer =>
  fields.get(field)![0] as Buffer

const folder = (): string => join(mkdtempSync(join(tmpdir(), 'events-')), 'tensorboard')

test('crc32c has its published check value', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  expect(crc32c(new Uint8Array(0))).toBe(0)
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa) // RFC 3720, B.4
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43)
})

test('version and scalars are read back by another reader', () => {
  let clock = 1_700_000_000.25
  const events = openEvents(folder(), { firstStep: 1, now: () => clock++ })
  events.scalar('loss/nats', 0.1, 7)
  events.scalar('größe', Number.NaN, 2 ** 40)
  events.close()
  expect(basename(events.path)).toMatch(/^events\.out\.tfevents\.1700000000\./)

  const [version, start, loss, nan, ...rest] = records(readFileSync(events.path)).map(walk)
  expect(rest).toEqual([])
  expect(bytes(version, 3).toString()).toBe('brain.Event:2')
  expect(version.has(5)).toBe(false)
  expect(bytes(loss, 1).readDoubleLE()).toBe(bytes(start, 1).readDoubleLE() + 1)
  expect(loss.get(2)).toEqual([7n])

  const lossValue = walk(bytes(walk(bytes(loss, 5)), 1))
  expect(bytes(lossValue, 1).toString()).toBe('loss/nats')
  expect(bytes(lossValue, 2).readFloatLE()).toBe(Math.fround(0.1))
  expect(nan.get(2)).toEqual([2n ** 40n])
  const nanValue = walk(bytes(walk(bytes(nan, 5)), 1))
  expect(bytes(nanValue, 1).toString()).toBe('größe')
  expect(bytes(nanValue, 2).readFloatLE()).toBeNaN()
})

test.each([1, 300])(
  'every file, a resumed one or not, starts with a session start at its first step: %d',
  (firstStep) => {
    const events = openEvents(folder(), { firstStep })
    events.close()
    const [version, start] = records(readFileSync(events.path)).map(walk)
    expect(bytes(version, 3).toString()).toBe('brain.Event:2')
    expect(start.get(2)).toEqual([BigInt(firstStep)])
    expect(walk(bytes(start, 7)).get(1)).toEqual([1n])
  },
)

test('two writers that start in the same second have a file each', () => {
  const directory = folder()
  const writers = [1, 2].map(() => openEvents(directory, { firstStep: 1, now: () => 1000 }))
  expect(writers[0].path).not.toBe(writers[1].path)
  for (const writer of writers) writer.close()
})

/** Steps of the scalars in a file. */
const stepsIn = (path: string): bigint[] =>
  records(readFileSync(path))
    .slice(2)
    .map((record) => walk(record).get(2)![0] as bigint)

test('records that were cut or changed are taken out with a warning, and no other', () => {
  const events = openEvents(folder(), { firstStep: 1, now: () => 1000 })
  for (const step of [1, 2, 3]) events.scalar('loss', step, step)
  events.close()
  const directory = join(events.path, '..')
  const whole = readFileSync(events.path)
  const said: string[] = []
  const drop = (): void => dropDamagedEvents(directory, (text) => said.push(text))
  drop()
  expect(readFileSync(events.path).equals(whole)).toBe(true)
  expect(said).toEqual([])

  truncateSync(events.path, whole.length - 3)
  drop()
  expect(stepsIn(events.path)).toEqual([1n, 2n])
  expect(said[0]).toMatch(/^.*events\.out\.tfevents.*: \d+ bytes are no whole records; they are left out$/)

  // The value of the scalar of step 2 lies before its checksum of four bytes.
  const changed = Buffer.from(whole)
  changed[stepEnd(whole, 3) - 6] ^= 1
  writeFileSync(events.path, changed)
  drop()
  expect(stepsIn(events.path)).toEqual([1n, 3n])
  expect(said).toHaveLength(2)
})

/** Where the record of a number ends, from 0. */
const stepEnd = (file: Buffer, number: number): number => {
  let at = 0
  for (let i = 0; i <= number; i++) at += 16 + Number(file.readBigUInt64LE(at))
  return at
}
