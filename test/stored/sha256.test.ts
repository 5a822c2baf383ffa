import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { portableSha256, sha256 } from '../../src/stored/sha256.ts'

const nodes = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

it("is Node's, whatever the bytes and wherever they are parted", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, cut) => {
      const parts = [bytes.subarray(0, cut), bytes.subarray(cut)]
      expect(portableSha256(parts)).toBe(nodes(bytes))
      expect(sha256(...parts)).toBe(nodes(bytes))
    }),
  )
})

it('gives what FIPS 180-4 gives for its examples, texts in UTF-8 among them, and for every length around a block', () => {
  expect(sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  expect(sha256('ü', 'x')).toBe(nodes(new TextEncoder().encode('üx')))
  for (let length = 50; length < 140; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 37)
    expect(portableSha256([bytes])).toBe(nodes(bytes))
  }
})
