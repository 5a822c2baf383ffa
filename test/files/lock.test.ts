import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LockedError, lockFolder } from '../../src/files/lock.ts'

const folder = (): string => mkdtempSync(join(tmpdir(), 'lock-'))
const holder = (dir: string): string => join(dir, '.lock', 'holder.json')

/** Rewrites who holds a folder's lock. */
const change = (dir: string, changes: object): void =>
  writeFileSync(holder(dir), JSON.stringify({ ...JSON.parse(readFileSync(holder(dir), 'utf8')), ...changes }))

/** Makes the last sign of life that many seconds old. */
const silent = (dir: string, seconds: number): void => {
  const then = Date.now() / 1000 - seconds
  utimesSync(holder(dir), then, then)
}

/** The id of a process that has ended. */
const deadProcess = async (): Promise<number> => {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
  await once(child, 'close')
  return child.pid!
}

test('is held by one at a time, and leaves nothing behind', () => {
  const dir = folder()
  const lock = lockFolder(dir)
  expect(() => lockFolder(dir)).toThrow(LockedError)
  expect(() => lockFolder(dir)).toThrow(
    new RegExp(`^${dir}: another process writes there \\(process ${process.pid} on .+, at work now\\); wait`),
  )
  expect(readdirSync(dir)).toEqual(['.lock'])
  lock.release()
  expect(readdirSync(dir)).toEqual([])
  lockFolder(dir).release()
  expect(readdirSync(dir)).toEqual([])
})

test('of a process that has ended is taken over at once; so is one of another that has its id', async () => {
  for (const dead of [
    { pid: await deadProcess() },
    { started: '1' },
    { folder: '1' }, // copied with its folder
  ]) {
    const dir = folder()
    lockFolder(dir)
    change(dir, dead)
    const lock = lockFolder(dir)
    expect(() => lockFolder(dir)).toThrow(LockedError)
    lock.release()
    expect(readdirSync(dir)).toEqual([])
  }
})

test('of another machine, or system on it, is taken over two minutes after its last sign of life', () => {
  for (const other of [{ host: 'elsewhere' }, { system: 'before the last start' }]) {
    const dir = folder()
    lockFolder(dir)
    change(dir, other)
    silent(dir, 60)
    expect(() => lockFolder(dir)).toThrow(/last heard of (59|60|61) s ago, given up after 120 s/)
    expect(readdirSync(dir)).toEqual(['.lock'])
    silent(dir, 121)
    lockFolder(dir).release()
    expect(readdirSync(dir)).toEqual([])
  }
})

test('that says nothing is taken over, also where a file has its name', () => {
  for (const content of ['', '{', 'null', '{"pid":1}']) {
    const dir = folder()
    mkdirSync(join(dir, '.lock'))
    writeFileSync(holder(dir), content)
    lockFolder(dir).release()
    expect(readdirSync(dir)).toEqual([])
  }
  const dir = folder()
  writeFileSync(join(dir, '.lock'), '')
  lockFolder(dir).release()
  expect(readdirSync(dir)).toEqual([])
})

test('that was taken over by another is not released by who lost it', () => {
  const dir = folder()
  const lost = lockFolder(dir)
  silent(dir, 121)
  change(dir, { host: 'elsewhere' })
  expect(() => lost.expectHeld()).toThrow(/^\S+: it was removed, or another process took it over/)
  lost.release()
  expect(existsSync(holder(dir))).toBe(true)
})

test('is lost with its folder, which is not made again', () => {
  const dir = folder()
  const lock = lockFolder(dir)
  lock.expectHeld()
  rmSync(dir, { recursive: true })
  expect(() => lock.expectHeld()).toThrow(LockedError)
  lock.release()
  expect(existsSync(dir)).toBe(false)
})

test('goes along with its folder, and not with a copy', () => {
  const dir = folder()
  const copy = join(folder(), 'copy')
  const lock = lockFolder(dir)
  cpSync(dir, copy, { recursive: true })
  lockFolder(copy).release()
  expect(readdirSync(copy)).toEqual([])
  expect(() => lockFolder(dir)).toThrow(LockedError)
  lock.release()
})

test('of many that want it at once, one has it at a time', async () => {
  const dir = folder()
  let [held, most, got] = [0, 0, 0]
  const attempt = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      try {
        const lock = lockFolder(dir)
        most = Math.max(most, ++held)
        got++
        await new Promise((resolve) => setImmediate(resolve))
        held--
        lock.release()
      } catch (error) {
        expect(error).toBeInstanceOf(LockedError)
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await Promise.all(Array.from({ length: 8 }, attempt))
  expect(most).toBe(1)
  expect(got).toBeGreaterThan(10)
  expect(readdirSync(dir)).toEqual([])
})
