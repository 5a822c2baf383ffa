import {
  appendFileSync,
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
import { openMetrics, readMetrics } from '../../src/runs/metrics.ts'

/** Of a log that is whole nothing is said. */
const silent = (text: string): void => expect.unreachable(text)

const newPath = (): string => join(mkdtempSync(join(tmpdir(), 'metrics-')), 'metrics.jsonl')

const logged = (path: string): string[] => readMetrics(path, silent).map((r) => `${r.stage}:${r.step}`)

const start = { stage: 'stage1', step: 0 }

/** A log made anew. */
const fill = (path: string): void => {
  rmSync(path, { force: true })
  const log = openMetrics(path, start, silent)
  for (const step of [0, 10, 20, 30]) log.append({ stage: 'stage1', step, loss: step / 10 })
  for (const step of [10, 20]) log.append({ stage: 'stage2', step, loss: 1 })
  log.close()
}

test('what is appended is read, one line each, and can be read while the log is open', () => {
  const path = newPath()
  expect(readMetrics(path, silent)).toEqual([])
  const log = openMetrics(path, start, silent)
  log.append({ stage: 'stage1', step: 1, 'loss/nats': 0.5, note: 'ü', finite: true, byBin: [1, 2] })
  expect(readMetrics(path, silent)).toEqual([
    { stage: 'stage1', step: 1, 'loss/nats': 0.5, note: 'ü', finite: true, byBin: [1, 2] },
  ])
  log.append({ stage: 'stage1', step: 2 })
  log.close()
  expect(readFileSync(path, 'utf8').split('\n').length).toBe(3)
})

test('numbers that are not finite become null, at any depth', () => {
  const path = newPath()
  const log = openMetrics(path, start, silent)
  log.append({ stage: 's', step: 0, a: Number.NaN, b: Number.POSITIVE_INFINITY, c: [1, -Infinity] })
  log.close()
  expect(readFileSync(path, 'utf8')).toBe('{"stage":"s","step":0,"a":null,"b":null,"c":[1,null]}\n')
})

test('a resume drops later steps of its stage, keeps the rest in the order of training, and appends', () => {
  const path = newPath()
  fill(path)
  const log = openMetrics(path, { stage: 'stage1', step: 20 }, silent)
  expect(logged(path)).toEqual(['stage1:0', 'stage1:10', 'stage1:20', 'stage2:10', 'stage2:20'])
  log.append({ stage: 'stage1', step: 21 })
  log.append({ stage: 'stage1', step: 21, psnr: 1 })
  log.close()
  expect(readdirSync(join(path, '..'))).toEqual(['metrics.jsonl'])
  openMetrics(path, { stage: 'stage2', step: 10 }, silent).close()
  expect(logged(path)).toEqual(['stage1:0', 'stage1:10', 'stage1:20', 'stage1:21', 'stage1:21', 'stage2:10'])
  expect(readMetrics(path, silent)[4]).toEqual({ stage: 'stage1', step: 21, psnr: 1 })
})

test('a half-written last line is dropped with a warning, so that the next line starts anew', () => {
  const path = newPath()
  fill(path)
  const whole = readFileSync(path, 'utf8')
  appendFileSync(path, '{"stage":"stage2","step":20,"lo')
  const said: string[] = []
  openMetrics(path, { stage: 'stage2', step: 20 }, (text) => said.push(text)).close()
  expect(said).toEqual([`${path}: line 7 is not a JSON object with "stage" and "step"; it is left out`])
  expect(readFileSync(path, 'utf8')).toBe(whole)
})

test('a last line that lacks its line end alone is kept', () => {
  const path = newPath()
  fill(path)
  const whole = readFileSync(path, 'utf8')
  truncateSync(path, whole.length - 1)
  openMetrics(path, { stage: 'stage2', step: 20 }, silent).close()
  expect(readFileSync(path, 'utf8')).toBe(whole)
})

test('a start keeps what was measured before the first step', () => {
  const path = newPath()
  fill(path)
  openMetrics(path, start, silent).close()
  expect(logged(path)).toEqual(['stage1:0', 'stage2:10', 'stage2:20'])
})

test.each(['{"stage":', '3', 'null', '{"stage":"a"}', '', '\0\0\0\0', '\ufffd'])(
  'a damaged line in the middle, %j, costs itself alone, and is said by its number',
  (damaged) => {
    const path = newPath()
    writeFileSync(path, `{"stage":"a","step":1}\n${damaged}\n{"stage":"a","step":3}\n${damaged}\n`)
    const said: string[] = []
    const log = openMetrics(path, { stage: 'a', step: 9 }, (text) => said.push(text))
    expect(said).toHaveLength(1)
    expect(said[0]).toContain(`${path}: line 2 (and 1 more) is not`)
    log.append({ stage: 'a', step: 4 })
    log.close()
    expect(logged(path)).toEqual(['a:1', 'a:3', 'a:4'])
  },
)
