/** @file SHA-256 against Node's own. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { sha256 } from '../../src/engine/host/sha256.ts'

const reference = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

const own = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = sha256()
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

it('is that of the example of FIPS 180-4', () => {
  expect(own('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

it("is Node's at every length around the block's", () => {
  for (let length = 0; length <= 130; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + length) % 256)
    expect(own(bytes), `${length} bytes`).toBe(reference(bytes))
  }
})

it("is Node's however a message comes in pieces, texts and views of larger arrays among them", () => {
  const part = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 100 }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => bytes.subarray(Math.min(3, bytes.length))),
  )
  fc.assert(fc.property(fc.array(part, { maxLength: 6 }), (parts) => own(...parts) === reference(...parts)))
})
