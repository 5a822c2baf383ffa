/** @file What libraries a library needs, against what binutils says of it. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { neededLibraries } from '../../src/doctor/elf.ts'
import { libraryPath } from '../../src/engine/runtime/node/capi.ts'
import { temporaryFolder } from '../data/temporary.ts'

const readelf = (file: string): string[] =>
  [...spawnSync('readelf', ['-d', file], { encoding: 'utf8' }).stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(
    ([, name]) => name,
  )
const hasReadelf = spawnSync('readelf', ['--version']).status === 0

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('libraries that are needed', () => {
  it('of ONNX Runtime, are those of the C library and more', () => {
    const found = neededLibraries(libraryPath())!
    expect(found).toContain('libc.so.6')
    expect(found.every((name) => /^[\w.+-]+\.so[\d.]*$/.test(name))).toBe(true)
  })

  it.runIf(hasReadelf)('of this program and of ONNX Runtime, are those that readelf names', () => {
    for (const file of [process.execPath, libraryPath()]) expect(neededLibraries(file)).toEqual(readelf(file))
  })

  it('of no library, or of half of one, are none, whatever the numbers in it say', async () => {
    const file = path.join(await temporaryFolder(), 'half.so')
    const whole = readFileSync(libraryPath()).subarray(0, 4096)
    writeFileSync(file, 'no library')
    expect(neededLibraries(file)).toBeNull()
    fc.assert(
      fc.property(fc.nat(whole.length), fc.nat(255), fc.nat(600), (length, value, at) => {
        const bytes = Buffer.from(whole.subarray(0, length))
        if (at < bytes.length) bytes[at] = value
        writeFileSync(file, bytes)
        const found = neededLibraries(file)
        expect(found === null || found.every((name) => typeof name === 'string')).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})
