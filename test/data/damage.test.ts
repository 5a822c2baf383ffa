/**
 * @file Damaged containers: whatever is cut off or flipped, opening and reading ends soon, in images or in one
 * sentence that names the file; a container that is cut off is told by the byte.
 */

import { copyFile, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { randomWord, streamKey } from '../../src/engine/host/random.ts'
import { cases, readAll } from './containerCases.ts'
import { temporaryFolder } from './temporary.ts'

/** Opens and reads everything; the message of what was thrown, or null. Longer than 10 s counts as a hang. */
const outcome = async (source: string, file: string, packBytes: number): Promise<string | null> => {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('hangs'), 10_000)
  })
  const read = readAll(source, file, packBytes).then(
    () => null,
    (error: unknown) => (error instanceof Error ? error.message : `no Error: ${String(error)}`),
  )
  const result = await Promise.race([read, limit])
  clearTimeout(timer)
  return result
}

describe.each(cases)('$title', ({ source, file: make, beside = [] }) => {
  let whole: Buffer
  let file: string

  beforeAll(async () => {
    const given = await make()
    whole = await readFile(given)
    file = path.join(await temporaryFolder(), path.basename(given))
    for (const other of beside) await copyFile(other, path.join(path.dirname(file), path.basename(other)))
  })

  const check = (message: string | null, what: string): void => {
    if (message === null) return
    expect(message, what).toContain(path.basename(file))
    expect(message.length, what).toBeGreaterThan(path.basename(file).length + 20)
    expect(message, what).not.toContain('\n')
  }

  test('is read when whole', async () => {
    await writeFile(file, whole)
    expect(await outcome(source, file, 0)).toBeNull()
  })

  test('cut off anywhere, it is refused by name and byte', async () => {
    const cuts = new Set([0, 1, 3, 4, 7, 8, 11, 12, 13, 16, 100, 511, 512, 513, 1023, 1024])
    for (let k = 0; k < 30; k++) cuts.add(Math.floor((k * whole.length) / 30))
    for (let k = 1; k <= 16; k++) cuts.add(whole.length - k)
    let refused = 0
    for (const cut of [...cuts].filter((at) => at < whole.length)) {
      await writeFile(file, whole.subarray(0, cut))
      const message = await outcome(source, file, cut % 2 === 0 ? 0 : 2 ** 20)
      const what = `cut to ${cut} of ${whole.length} bytes: ${message}`
      check(message, what)
      if (message === null) continue
      refused++
      expect(message, what).toMatch(/\bbyte \d+/)
    }
    // a tar is whole before its padding, nothing else is before its last byte
    expect(refused).toBeGreaterThan(20)
  })

  test('with any bit flipped, it is read or refused by name', async () => {
    const key = streamKey(1, 'flips', path.basename(file))
    const flips = Array.from({ length: 30 }, (_, k) => randomWord(key, k) % (8 * whole.length))
    // headers and footers are short, so that chance alone would seldom meet them
    for (let k = 0; k < 30; k++) {
      const edge = randomWord(key, 1000 + k) % (8 * Math.min(1024, whole.length))
      flips.push(k % 2 === 0 ? edge : 8 * whole.length - 1 - edge)
    }
    for (const flip of flips) {
      const damaged = Buffer.from(whole)
      damaged[flip >> 3] ^= 1 << (flip & 7)
      await writeFile(file, damaged)
      const message = await outcome(source, file, flip % 2 === 0 ? 0 : 2 ** 20)
      check(message, `bit ${flip & 7} of byte ${flip >> 3}: ${message}`)
    }
  })
})
