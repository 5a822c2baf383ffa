import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openMetrics, readMetrics } from '../../src/runs/metrics.ts'

const newPath = (): string => join(mkdtempSync(join(tmpdir(), 'metrics-')), 'metrics.jsonl')

const logged = (path: string): string[] => readMetrics(path).map((r) => `${r.stage}:${r.step}`)

const start = { stage: 'stage1', step: 0 }

/** A log made anew. */
const fill = (path: string): void => {
  rmSync(path, { force: true })
  const log = openMetrics(path, start)
  for (const step of [0, 10, 20, 30]) log.append({ stage: 'stage1', step, loss: step / 10 })
  for (const step of [10, 20]) log.append({ stage: 'stage2', step, loss: 1 })
  log.close()
}

test('what is appended is read, one line each, and can be read while the log is open', () => {
  const path = newPath()
  expect(readMetrics(path)).toEqual([])
  const log = openMetrics(path, start)
  log.append({ stage: 'stage1', step: 1, 'loss/nats': 0.5, note: 'ü', finite: true, byBin: [1, 2] })
  expect(readMetrics(path)).toEqual([
    { stage: 'stage1', step: 1, 'loss/nats': 0.5, note: 'ü', finite: true, byBin: [1, 2] },
  ])
  log.append({ stage: 'stage1', step: 2 })
  log.close()
  expect(readFileSync(path, 'utf8').split('\n').length).toBe(3)
})

test('numbers that are not finite become null, at any depth', () => {
  const path = newPath()
  const log = openMetrics(path, start)
  log.append({ stage: 's', step: 0, a: Number.NaN, b: Number.POSITIVE_INFINITY, c: [1, -Infinity] })
  log.close()
  expect(readFileSync(path, 'utf8')).toBe('{"stage":"s","step":0,"a":null,"b":null,"c":[1,null]}\n')
})

test('a resume drops later steps and later stages, keeps the rest and appends', () => {
  const path = newPath()
  fill(path)
  const log = openMetrics(path, { stage: 'stage1', step: 20 })
  expect(logged(path)).toEqual(['stage1:0', 'stage1:10', 'stage1:20'])
  log.append({ stage: 'stage1', step: 21 })
  log.close()
  expect(logged(path)).toEqual(['stage1:0', 'stage1:10', 'stage1:20', 'stage1:21'])
  expect(readdirSync(join(path, '..'))).toEqual(['metrics.jsonl'])

  fill(path)
  openMetrics(path, { stage: 'stage2', step: 10 }).close()
  expect(logged(path)).toEqual(['stage1:0', 'stage1:10', 'stage1:20', 'stage1:30', 'stage2:10'])
})

test('a half-written last line is dropped, so that the next line starts anew', () => {
  const path = newPath()
  fill(path)
  const whole = readFileSync(path, 'utf8')
  appendFileSync(path, '{"stage":"stage2","step":20,"lo')
  expect(readMetrics(path).length).toBe(6)
  openMetrics(path, { stage: 'stage2', step: 20 }).close()
  expect(readFileSync(path, 'utf8')).toBe(whole)
})

test('a start keeps what was measured before the first step; a damaged line in the middle is an error with its number', () => {
  const path = newPath()
  fill(path)
  openMetrics(path, start).close()
  expect(logged(path)).toEqual(['stage1:0'])
  for (const damaged of ['{"stage":', '3', 'null', '{"stage":"a"}', '']) {
    writeFileSync(path, `{"stage":"a","step":1}\n${damaged}\n`)
    expect(() => readMetrics(path)).toThrow(`${path}: line 2 is not`)
  }
})
