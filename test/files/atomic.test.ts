import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { writeFileAtomic } from '../../src/files/atomic.ts'
import { readPieces, writePieces } from '../../src/files/pieces.ts'

const folder = (): string => mkdtempSync(join(tmpdir(), 'atomic-'))

test('writes text, bytes and lists of chunks, and replaces an old file', () => {
  const dir = folder()
  const path = join(dir, 'a.bin')
  writeFileAtomic(path, 'first, longer text')
  expect(readFileSync(path, 'utf8')).toBe('first, longer text')
  writeFileAtomic(path, Uint8Array.of(1, 2, 3))
  expect([...readFileSync(path)]).toEqual([1, 2, 3])
  writeFileAtomic(path, [Uint8Array.of(4), new Uint8Array(0), Uint8Array.of(5, 6)])
  expect([...readFileSync(path)]).toEqual([4, 5, 6])
  writeFileAtomic(path, [])
  expect(readFileSync(path).length).toBe(0)
  expect(readdirSync(dir)).toEqual(['a.bin'])
})

test('a failed write leaves the old content and no temporary file', () => {
  const dir = folder()
  mkdirSync(join(dir, 'taken'))
  writeFileSync(join(dir, 'taken', 'file'), 'old')
  expect(() => writeFileAtomic(join(dir, 'taken'), 'new')).toThrow()
  expect(readdirSync(dir)).toEqual(['taken'])
  expect(readFileSync(join(dir, 'taken', 'file'), 'utf8')).toBe('old')
  expect(() => writeFileAtomic(join(dir, 'missing', 'a'), 'new')).toThrow(/ENOENT/)
})

test('more chunks than one system call takes', () => {
  const path = join(folder(), 'many')
  const chunks = Array.from({ length: 3000 }, (_, i) => new Uint8Array(i % 3).fill(i % 251))
  writeFileAtomic(path, chunks)
  expect(readFileSync(path).equals(Buffer.concat(chunks))).toBe(true)
})

test('pieces of any size give the same bytes', () => {
  const dir = folder()
  const chunks = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 12 })
  fc.assert(
    fc.property(chunks, fc.integer({ min: 1, max: 30 }), (list, limit) => {
      const fd = openSync(join(dir, 'p'), 'w+')
      try {
        writePieces(fd, list, limit)
        const whole = Buffer.concat(list)
        const back = new Uint8Array(whole.length)
        expect(readPieces(fd, back, 0, limit)).toBe(whole.length)
        expect([...back]).toEqual([...whole])
        const beyond = new Uint8Array(whole.length + 1)
        expect(readPieces(fd, beyond, 0, limit)).toBe(whole.length)
      } finally {
        closeSync(fd)
      }
    }),
  )
})
