/** @file System errors name the file, and say what to do. */
import { closeSync, mkdtempSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { writeFileAtomic } from '../../src/files/atomic.ts'
import { naming, systemSentence } from '../../src/files/systemErrors.ts'

const dir = mkdtempSync(join(tmpdir(), 'system-'))
const file = join(dir, 'file')
writeFileSync(file, '')

const errorOf = (work: () => unknown): unknown => {
  try {
    return work()
  } catch (error) {
    return error
  }
}

it.each([
  ['ENOENT', join(dir, 'none'), 'there is no such file or folder (ENOENT); check the spelling, or make it'],
  ['EISDIR', dir, 'it is a folder (EISDIR); give a file'],
  ['ENOTDIR', join(file, 'x'), 'a part of that path is a file, not a folder (ENOTDIR); check the path'],
  ['ENAMETOOLONG', join(dir, 'x'.repeat(300)), 'a name in it is too long (ENAMETOOLONG); give a shorter one'],
])('%s', (_, path, text) => {
  const error = errorOf(() => readFileSync(path))
  // Node does not say which folder it could not read.
  expect(systemSentence(error, path)).toBe(`${path}: ${text}`)
})

it('of an open file, which does not know its name, is named by who opened it', () => {
  const full = openSync('/dev/full', 'w')
  const sentence = '/dev/full: no space is left there (ENOSPC); free some, or give another place'
  expect(() => naming('/dev/full', () => writeSync(full, 'x'))).toThrow(sentence)
  closeSync(full)
})

it('a code that is not known is still named, and what is no system error is left as it is', () => {
  const odd = Object.assign(new Error('x'), { code: 'EODD', syscall: 'read', path: file })
  expect(systemSentence(odd)).toBe(`${file}: the system refuses read (EODD); check that place`)
  const own = new Error('own')
  expect(systemSentence(own)).toBeNull()
  expect(() =>
    naming(file, () => {
      throw own
    }),
  ).toThrow(own)
})

it('an atomic write names the file that was asked for, and not its temporary one', () => {
  const path = join(dir, 'missing', 'report.html')
  expect(() => writeFileAtomic(path, 'x')).toThrow(
    `${path}: there is no such file or folder (ENOENT); check the spelling, or make it`,
  )
})
