import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { float32, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { inspectSafetensors, writeSafetensors } from '../../src/files/safetensors.ts'
import { latestCheckpoint, loadCheckpoint, loadNewest, saveCheckpoint } from '../../src/runs/checkpoint.ts'
import { compareProgress } from '../../src/runs/progress.ts'
import { openWriter } from '../../src/runs/writer.ts'

const newRun = (): string => mkdtempSync(join(tmpdir(), 'checkpoint-'))

const save = (run: string, stage: string, step: number, keepLast = 2): string => {
  const tensors = { 'encoder.weight': float32([2], [step, -step]) }
  return saveCheckpoint(
    run,
    { stage, step, tensors, meta: { images: step * 16, configHash: 'c0ffee' } },
    keepLast,
  )
}

/** Changes bytes of a file, and not their number. */
const replaceIn = (file: string, before: string, after: string): void => {
  const text = readFileSync(file, 'latin1')
  expect(text.split(before)).toHaveLength(2)
  expect(after.length).toBe(before.length)
  writeFileSync(file, text.replace(before, after), 'latin1')
}

const names = (run: string): string[] => readdirSync(join(run, 'checkpoints')).sort()

test('a checkpoint comes back as it was saved, with all that the meta holds', () => {
  const run = newRun()
  const meta = { images: 320, configHash: 'abc', seeds: [1, 2], nested: { best: null } }
  const tensors = { w: float32([2, 1], [1, 2]) }
  const path = saveCheckpoint(run, { stage: 'stage1', step: 20, tensors, meta }, 1)
  expect(path).toBe(join(run, 'checkpoints', 'stage1-000000020'))
  expect(readdirSync(path).sort()).toEqual(['state.json', 'state.safetensors'])
  const loaded = loadCheckpoint(path)
  expect(loaded.state).toEqual({ ...meta, version: 1, stage: 'stage1', step: 20 })
  expect(loaded.tensors).toEqual(tensors)
  expect(latestCheckpoint(run)).toEqual({
    ...{ path, stage: 'stage1', step: 20, state: loaded.state },
    ...{ hasChecksums: true, ignored: [] },
  })
})

test('a run that is not there is not made by a save', () => {
  const run = join(newRun(), 'removed')
  expect(() => save(run, 'stage1', 10)).toThrow('ENOENT')
  expect(existsSync(run)).toBe(false)
})

test('no checkpoint yet', () => {
  expect(latestCheckpoint(newRun())).toBeNull()
  const run = newRun()
  save(run, 'stage1', 1)
  expect(latestCheckpoint(run, 'stage2')).toBeNull()
})

test('keepLast removes the oldest of the same stage, and stage 1 survives stage 2', () => {
  const run = newRun()
  for (const step of [10, 20, 30]) save(run, 'stage1', step)
  expect(names(run)).toEqual(['stage1-000000020', 'stage1-000000030'])
  for (const step of [5, 10, 15]) save(run, 'stage2', step, 1)
  expect(names(run)).toEqual(['stage1-000000020', 'stage1-000000030', 'stage2-000000015'])
  expect(latestCheckpoint(run)?.stage).toBe('stage2')
  expect(latestCheckpoint(run, 'stage1')?.step).toBe(30)
})

test('steps are ordered as numbers, also past nine digits', () => {
  const run = newRun()
  save(run, 'stage1', 999_999_999, 9)
  save(run, 'stage1', 1_000_000_000, 9)
  expect(latestCheckpoint(run)?.step).toBe(1_000_000_000)
  const progress = [
    { stage: 'stage2', step: 0 },
    { stage: 'stage1', step: 10 },
    { stage: 'stage1', step: 9 },
  ]
  expect(progress.sort(compareProgress).map((p) => `${p.stage}:${p.step}`)).toEqual([
    'stage1:9',
    'stage1:10',
    'stage2:0',
  ])
})

test('a temporary directory of a crashed save is no checkpoint, and goes when the next writer comes', () => {
  const run = newRun()
  const whole = save(run, 'stage1', 10)
  cpSync(whole, join(run, 'checkpoints', '.tmp-stage1-000000020-77-00000000'), { recursive: true })
  mkdirSync(join(run, 'checkpoints', 'notes'))
  expect(latestCheckpoint(run)).toMatchObject({ step: 10, ignored: [] })
  openWriter(run).release()
  save(run, 'stage1', 20)
  expect(names(run)).toEqual(['notes', 'stage1-000000010', 'stage1-000000020'])
})

test('a newest checkpoint that does not read falls back to the one before', () => {
  const damages: readonly ((path: string) => void)[] = [
    (path) => truncateSync(join(path, 'state.safetensors'), 90),
    (path) => truncateSync(join(path, 'state.json'), 20),
    (path) => rmSync(join(path, 'state.safetensors')),
    (path) => rmSync(join(path, 'state.json')),
    (path) => writeFileSync(join(path, 'state.json'), 'null'),
    (path) => writeFileSync(join(path, 'state.json'), '{"version":2}'),
    (path) => writeFileSync(join(path, 'state.json'), '{"version":1,"stage":"stage1","step":20}'),
    (path) => cpSync(join(path, '..', 'stage1-000000010', 'state.json'), join(path, 'state.json')),
    (path) => replaceIn(join(path, 'state.json'), '320', '321'),
    (path) => replaceIn(join(path, 'state.json'), 'c0ffee', 'c0ffef'),
    (path) => replaceIn(join(path, 'state.json'), '"checksum"', '"checksun"'),
    (path) => replaceIn(join(path, 'state.json'), '"tensors"', '"tensorz"'),
    (path) => replaceIn(join(path, 'state.safetensors'), 'encoder.weight', 'encoder.weighu'),
  ]
  for (const damage of damages) {
    const run = newRun()
    save(run, 'stage1', 10)
    const newest = save(run, 'stage1', 20)
    damage(newest)
    const found = latestCheckpoint(run)
    expect(found?.step).toBe(10)
    expect(found?.ignored.length).toBe(1)
    expect(found?.ignored[0]).toContain(newest)
    expect(found?.ignored[0]).toMatch(/; stage1-000000010 is used instead$/)
    expect(() => loadCheckpoint(newest)).toThrow(newest)
    // The resumed run reaches step 20 again and replaces the damaged one.
    save(run, 'stage1', 20)
    expect(latestCheckpoint(run)).toMatchObject({ step: 20, ignored: [] })
    expect(names(run)).toEqual(['stage1-000000010', 'stage1-000000020'])
  }
})

test('a save after a fall-back keeps the checkpoint it has just written', () => {
  const run = newRun()
  save(run, 'stage1', 10)
  truncateSync(join(save(run, 'stage1', 30), 'state.json'), 0)
  save(run, 'stage1', 20, 1)
  expect(names(run)).toEqual(['stage1-000000020', 'stage1-000000030'])
  expect(latestCheckpoint(run)?.step).toBe(20)
})

test('checkpoints of which none reads are an error, not a fresh start', () => {
  const run = newRun()
  truncateSync(join(save(run, 'stage1', 10), 'state.json'), 0)
  expect(() => latestCheckpoint(run)).toThrow(
    /no checkpoint reads: .*stage1-000000010.*; restore one, or remove these to train anew$/,
  )
})

test('a failed save leaves the earlier ones and nothing temporary', () => {
  const run = newRun()
  const path = save(run, 'stage1', 10)
  const before = readFileSync(join(path, 'state.safetensors'))
  const wrong = { w: { dtype: 'float32' as const, shape: [3], data: new Float32Array(2) } }
  const meta = { images: 0, configHash: '' }
  expect(() => saveCheckpoint(run, { stage: 'stage1', step: 10, tensors: wrong, meta }, 1)).toThrow(
    'tensor "w"',
  )
  expect(names(run)).toEqual(['stage1-000000010'])
  expect(readFileSync(join(path, 'state.safetensors')).equals(before)).toBe(true)
  expect(() => save(run, 'stage-1', 10)).toThrow('not a word')
  expect(() => save(run, 'stage1', 1.5)).toThrow('not a count')
  expect(() => save(run, 'stage1', 11, 0)).toThrow('keepLast 0')
})

const load = (run: string): ReturnType<typeof loadNewest<readonly number[]>> =>
  loadNewest(run, 'stage1', { take: (tensors) => [...floats(tensors['encoder.weight'])] })

test('any bit of a value that changes is found when it is loaded, and the checkpoint before is used', () => {
  for (let bit = 0; bit < 64; bit += 7) {
    const run = newRun()
    save(run, 'stage1', 10)
    const file = join(save(run, 'stage1', 20), 'state.safetensors')
    expect(load(run)).toMatchObject({ step: 20, value: [20, -20], ignored: [] })
    const bytes = readFileSync(file)
    bytes[inspectSafetensors(file).dataStart + (bit >> 3)] ^= 1 << (bit & 7)
    writeFileSync(file, bytes)
    const found = load(run)
    expect(found).toMatchObject({ step: 10, value: [10, -10] })
    expect(found?.ignored).toEqual([
      `${file}: tensor "encoder.weight" is not what was saved (its checksum differs); the file is damaged; stage1-000000010 is used instead`,
    ])
  }
})

test('another type or shape of the same bytes is found, too', () => {
  for (const [before, after] of [
    ['"F32"', '"I32"'],
    ['"shape":[2]', '"shape":[1,2]'],
  ]) {
    const run = newRun()
    save(run, 'stage1', 10)
    const file = join(save(run, 'stage1', 20), 'state.safetensors')
    const bytes = readFileSync(file)
    const header = bytes.subarray(8, inspectSafetensors(file).dataStart)
    const text = header.toString().trimEnd().replace(before, after)
    expect(text).toContain(after)
    header.fill(text.padEnd(header.length))
    expect(text.length).toBeLessThanOrEqual(header.length)
    writeFileSync(file, bytes)
    expect(load(run)).toMatchObject({ step: 10 })
  }
})

test('a checkpoint without checksums, as older versions saved them, loads; one with numbers that are not finite never does', () => {
  const run = newRun()
  const path = save(run, 'stage1', 10)
  const { tensors: _, checksum: __, ...old } = JSON.parse(readFileSync(join(path, 'state.json'), 'utf8'))
  writeFileSync(join(path, 'state.json'), JSON.stringify(old))
  expect(load(run)).toMatchObject({ step: 10, value: [10, -10], hasChecksums: false, ignored: [] })
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    writeSafetensors(join(path, 'state.safetensors'), { 'encoder.weight': float32([2], [1, bad]) })
    expect(() => load(run)).toThrow('tensor "encoder.weight" holds numbers that are not finite')
    const tensors = { w: float32([3], [1, bad, 2]) }
    const meta = { images: 0, configHash: '' }
    expect(() => saveCheckpoint(run, { stage: 'stage1', step: 20, tensors, meta }, 2)).toThrow('not finite')
    expect(names(run)).toEqual(['stage1-000000010'])
  }
})

test('what the reader refuses is passed over like what is damaged', () => {
  const run = newRun()
  save(run, 'stage1', 10)
  save(run, 'stage1', 20)
  const take = (tensors: Record<string, HostTensor>): number => {
    const [first] = floats(tensors['encoder.weight'])
    if (first === 20) throw new Error('twenty')
    return first
  }
  expect(loadNewest(run, 'stage1', { take })).toMatchObject({
    step: 10,
    value: 10,
    ignored: ['twenty; stage1-000000010 is used instead'],
  })
})
