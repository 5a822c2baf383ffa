/** @file Logs as the studio reads them: numbers by form against JSON, columns against sums written out, files as they change. */
import { appendFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openMetrics, readMetrics } from '../../src/runs/metrics.ts'
import { createBlock, mostRows } from '../../src/studio/block.ts'
import { openLog } from '../../src/studio/log.ts'
import { createLogs } from '../../src/studio/logs.ts'
import { formOf, readByForm } from '../../src/studio/numbers.ts'
import { seriesOf } from '../../src/studio/series.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { line } from './support.ts'

const folder = await temporaryFolder()
let files = 0
const fileOf = (text: string): string => {
  const path = join(folder, `${files++}.jsonl`)
  writeFileSync(path, text)
  return path
}

const form = formOf({ stage: 's', step: 1, a: 2, b: 3 })
/** The numbers that a line of that form gives; null where it is not of the form. */
const numbersOf = (text: string): number[] | null => {
  const into = new Float64Array(3)
  const bytes = Buffer.from(text)
  return readByForm(bytes, [0, bytes.length], form, into) ? [...into] : null
}

describe('numbers of a line', () => {
  it('are those that JSON gives: exact to 15 digits, else to two units in the last place', () => {
    const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
    fc.assert(
      fc.property(finite, finite, fc.nat(), (a, b, step) => {
        const found = numbersOf(JSON.stringify({ stage: 's', step, a, b })) ?? []
        expect(found[0]).toBe(step)
        for (const [i, value] of [a, b].entries())
          expect(Math.abs(found[i + 1] - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -51)
      }),
    )
    fc.assert(
      fc.property(
        fc.integer({ min: -999_999_999_999_999, max: 999_999_999_999_999 }),
        fc.integer({ min: 0, max: 15 }),
        (n, digits) => {
          const text = (n / 10 ** digits).toPrecision(15)
          expect(numbersOf(`{"stage":"s","step":1,"a":${Number(text)},"b":null}`)?.[1]).toBe(Number(text))
        },
      ),
    )
  })

  it.each([
    '01',
    '-',
    '1.',
    '.5',
    '1e',
    '1e+',
    '--1',
    '+1',
    '0x1',
    'NaN',
    'Infinity',
    'nul',
    '1 ',
    '"1"',
    '1.2.3',
    '',
  ])('are not taken from %j, as JSON does not either', (text) => {
    const whole = `{"stage":"s","step":1,"a":${text},"b":2}`
    if (text !== '1 ' && text !== '"1"') expect(() => JSON.parse(whole)).toThrow()
    expect(numbersOf(whole)).toBeNull()
  })

  it.each([
    '-0',
    '0',
    '0.0',
    '1E5',
    '1e-5',
    '123456789012345678901234567890',
    '1e308',
    '5e-324',
    '-0.00001e2',
  ])('are taken from %s', (text) => {
    const found = numbersOf(`{"stage":"s","step":1,"a":${text},"b":2}`)?.[1] ?? Number.NaN
    expect(Math.abs(found - Number(text))).toBeLessThanOrEqual(Math.abs(Number(text)) * 2 ** -51)
  })

  it('of lines of another form are left to JSON', () => {
    expect(numbersOf('{"stage":"s","step":1,"b":2,"a":3}')).toBeNull()
    expect(numbersOf('{"stage":"t","step":1,"a":2,"b":3}')).toBeNull()
    expect(numbersOf('{"stage":"s","step":1,"a":2,"b":3}x')).toBeNull()
    expect(numbersOf('{"stage":"s","step":1,"a":2,"b":3')).toBeNull()
    expect(formOf({ stage: 's', step: 1, note: 'x' }).literals).toEqual([])
  })
})

describe('a block of rows', () => {
  it('keeps the least, the greatest and the mean of all lines when it is thinned, in bounded memory', () => {
    const block = createBlock(['step', 'x'], 10)
    const lines = mostRows + 5000
    const valueAt = (i: number): number => (i === 1234 ? 99 : i === mostRows + 1 ? -99 : (i * 7919) % 101)
    const numbers = new Float64Array(2)
    let sum = 0
    for (let i = 1; i <= lines; i++) {
      numbers.set([i, valueAt(i)])
      sum += valueAt(i)
      block.add(numbers)
    }
    expect(block.rows).toBe(mostRows / 2 + 2500)
    expect(block.linesPerRow).toBe(2)
    expect(block.bytes).toBe(mostRows * 8 * 2 * 3)
    const whole = seriesOf([block], 'x', { points: 1 })
    expect(whole).toMatchObject({ step: [lines], min: [-99], max: [100], count: lines })
    expect(whole.mean[0]).toBeCloseTo(sum / lines, 9)
    const early = seriesOf([block], 'x', { from: 1201, to: 1300, points: 1 })
    const own = Array.from({ length: 100 }, (_, i) => valueAt(1201 + i))
    expect(early).toMatchObject({
      step: [1300],
      min: [Math.min(...own)],
      max: [Math.max(...own)],
      count: 100,
    })
    expect(early.mean[0]).toBeCloseTo(own.reduce((a, b) => a + b) / 100, 9)
  })

  it('takes a step that was logged again in place of all from there on', () => {
    const block = createBlock(['step', 'x'], 4)
    for (const [step, x] of [
      [1, 10],
      [2, 20],
      [3, 30],
      [2, 21],
    ])
      block.add(Float64Array.of(step, x))
    expect(seriesOf([block], 'x', { points: 10 })).toEqual({
      step: [1, 2],
      min: [10, 21],
      max: [10, 21],
      mean: [10, 21],
      count: 2,
    })
  })
})

describe('a series', () => {
  it('has in each part what the lines of it say, whatever the range and the number of parts', async () => {
    const values = Array.from({ length: 997 }, (_, i) => Math.sin(i * i) * 10)
    const log = openLog(fileOf(values.map((x, i) => line('stage1', 3 * i, { x, other: 1 })).join('')))
    await log.update()
    fc.assert(
      fc.property(fc.nat(3000), fc.nat(3000), fc.integer({ min: 1, max: 1200 }), (a, b, points) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)]
        const inRange = values.flatMap((x, i) => (3 * i >= from && 3 * i <= to ? [[3 * i, x]] : []))
        const { step, min, max, mean, count } = seriesOf(log.blocks('stage1', 'x'), 'x', { from, to, points })
        expect(count).toBe(inRange.length)
        expect(step.length).toBe(Math.min(points, inRange.length))
        let first = from
        step.forEach((last, part) => {
          const own = inRange.filter(([at]) => at >= first && at <= last).map(([, x]) => x)
          const [least, greatest] = [Math.min(...own), Math.max(...own)]
          expect(Math.abs(min[part] - least)).toBeLessThan(1e-14)
          expect(Math.abs(max[part] - greatest)).toBeLessThan(1e-14)
          expect(mean[part]).toBeCloseTo(own.reduce((x, y) => x + y) / own.length, 10)
          first = last + 1
        })
      }),
      { numRuns: 60 },
    )
  })

  it('joins a metric that lines of several kinds have, and leaves out lines without a number', async () => {
    const text = [
      line('a', 1, { x: 1, y: 5 }),
      line('a', 1, { x: 7 }),
      `{"stage":"a","step":2,"x":null,"y":6}\n`,
      line('a', 3, { x: 3, y: 7 }),
      line('a', 4, { x: 8 }),
      line('b', 1, { x: 100 }),
    ].join('')
    const log = openLog(fileOf(text))
    await log.update()
    expect(log.metrics()).toEqual({ a: ['x', 'y'], b: ['x'] })
    const series = seriesOf(log.blocks('a', 'x'), 'x', { points: 10 })
    expect(series).toEqual({
      step: [1, 1, 3, 4],
      min: [1, 7, 3, 8],
      max: [1, 7, 3, 8],
      mean: [1, 7, 3, 8],
      count: 4,
    })
    expect(log.blocks('a', 'step')).toEqual([])
    expect(seriesOf([], 'x', { points: 3 })).toEqual({ step: [], min: [], max: [], mean: [], count: 0 })
  })
})

describe('a log that changes', () => {
  const xOf = (log: ReturnType<typeof openLog>): readonly number[] =>
    seriesOf(log.blocks('stage1', 'x'), 'x', { points: 100 }).mean

  it('is read on from where it was read to; half a line waits, lines that do not read are counted', async () => {
    const path = fileOf(line('stage1', 1, { x: 1 }) + line('stage1', 2, { x: 2 }))
    const log = openLog(path)
    await log.update()
    expect(xOf(log)).toEqual([1, 2])
    appendFileSync(path, '{"stage":"stage1","step":3,')
    await log.update()
    expect([log.lines, log.damaged]).toEqual([2, 0])
    appendFileSync(path, '"x":3}\n')
    await log.update()
    expect(xOf(log)).toEqual([1, 2, 3])
    appendFileSync(
      path,
      `nothing\n{"stage":"stage1"}\n\n{"stage":"stage1","step":null,"x":1}\n${line('stage1', 4, { x: 4 })}`,
    )
    await log.update()
    expect([xOf(log), log.lines, log.damaged]).toEqual([[1, 2, 3, 4], 8, 4])
  })

  it('is read anew when it was written anew: a resume drops lines, whether as another file or in place', async () => {
    const path = fileOf(Array.from({ length: 9 }, (_, i) => line('stage1', i + 1, { x: i + 1 })).join(''))
    const log = openLog(path)
    await log.update()
    expect(xOf(log)).toHaveLength(9)
    const writer = openMetrics(path, { stage: 'stage1', step: 4 }, () => undefined)
    writer.append({ stage: 'stage1', step: 5, x: 50 })
    writer.close()
    await log.update()
    expect(xOf(log)).toEqual([1, 2, 3, 4, 50])
    truncateSync(path, line('stage1', 1, { x: 1 }).length)
    await log.update()
    expect(xOf(log)).toEqual([1])
    // As long as before, and longer: only its end tells.
    writeFileSync(path, line('stage1', 1, { x: 8 }) + line('stage1', 2, { x: 9 }))
    await log.update()
    expect(xOf(log)).toEqual([8, 9])
    expect(readMetrics(path)).toHaveLength(2)
  })

  it('that vanishes is an error, and is read from its beginning when it is there again', async () => {
    const path = fileOf(line('stage1', 1, { x: 1 }))
    const log = openLog(path)
    await log.update()
    renameSync(path, `${path}.away`)
    await expect(log.update()).rejects.toThrow(/ENOENT/)
    expect(log.lines).toBe(0)
    renameSync(`${path}.away`, path)
    await log.update()
    expect(xOf(log)).toEqual([1])
    rmSync(path)
  })

  it('passes over a line that never ends, and over kinds of lines without number', async () => {
    const endless = 'x'.repeat(5 * 2 ** 20)
    const log = openLog(fileOf(`${line('stage1', 1, { x: 1 })}${endless}\n${line('stage1', 2, { x: 2 })}`))
    await log.update()
    expect(xOf(log)).toEqual([1, 2])
    expect(log.damaged).toBeGreaterThan(0)
    const many = openLog(
      fileOf(Array.from({ length: 400 }, (_, i) => line('stage1', i, { [`m${i}`]: 1 })).join('')),
    )
    await many.update()
    expect(many.metrics().stage1).toHaveLength(256)
    expect([many.lines, many.damaged]).toEqual([400, 144])
  })

  it('with names that mean something to objects is read like any other', async () => {
    const log = openLog(fileOf('{"stage":"__proto__","step":1,"constructor":5}\n'))
    await log.update()
    expect(Object.entries(log.metrics())).toEqual([['__proto__', ['constructor']]])
    expect(seriesOf(log.blocks('__proto__', 'constructor'), 'constructor', { points: 1 }).mean).toEqual([5])
  })
})

it('logs that were asked of long ago are let go, so that memory is bounded', async () => {
  const paths = Array.from({ length: 6 }, () =>
    fileOf(Array.from({ length: 1000 }, (_, i) => line('s', i, { x: i })).join('')),
  )
  const one = openLog(paths[0])
  await one.update()
  const logs = createLogs(3 * one.bytes)
  for (const path of paths) {
    const log = await logs.at(path)
    expect(seriesOf(log.blocks('s', 'x'), 'x', { points: 1 })).toMatchObject({ max: [999], count: 1000 })
    expect(logs.bytes).toBeLessThanOrEqual(3 * one.bytes)
  }
  expect(logs.bytes).toBe(3 * one.bytes)
  expect((await logs.at(paths[0])).lines).toBe(1000)
})
