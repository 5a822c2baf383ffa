/** @file What the benchmark says of its measurements: spreads, the line of a case, and the chart's bars. */
import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { drawChart } from '../../bench/chart.ts'
import { spreadOf } from '../../bench/measure.ts'
import { row, tableHead } from '../../bench/report.ts'
import type { CaseResult, PeerResult } from '../../bench/result.ts'

const spread = (median: number, min = median, max = median) => ({ median, min, max })

const peer = (name: string, median: number, min = median, max = median): PeerResult => ({
  name,
  settings: '',
  error: 0,
  seconds: spread(median),
  ratio: spread(median, min, max),
  peakBytes: 300 * 2 ** 20,
})

const result = (changes: Partial<CaseResult> = {}): CaseResult => ({
  name: 'step',
  title: 'a training step',
  target: { device: 'cpu', precision: 'float32' },
  settings: '',
  memory: 'resident',
  gflopsPerRun: 12,
  seconds: spread(0.25),
  shareOfMatmul: spread(0.805),
  peakBytes: 200 * 2 ** 20,
  disturbance: 0,
  peers: [peer('pytorch', 1.5, 1.25, 2)],
  skipped: {},
  ...changes,
})

describe('spreadOf', () => {
  it('is the middle, the least and the greatest, in whatever order', () => {
    expect(spreadOf([3, 10, 2])).toEqual({ median: 3, min: 2, max: 10 })
    expect(spreadOf([7])).toEqual({ median: 7, min: 7, max: 7 })
    const numbers = fc.array(fc.integer(), { minLength: 1 })
    fc.assert(
      fc.property(numbers, (values) => {
        const { median, min, max } = spreadOf(values)
        expect(values).toContain(median)
        expect([min, max]).toEqual([
          values.reduce((a, b) => Math.min(a, b)),
          values.reduce((a, b) => Math.max(a, b)),
        ])
        const half = values.length / 2
        expect(values.filter((v) => v < median).length).toBeLessThanOrEqual(half)
        expect(values.filter((v) => v > median).length).toBeLessThanOrEqual(half)
      }),
    )
  })
})

describe('row', () => {
  const cells = (line: string): string[] => line.trim().split(/\s{2,}/)

  it('says time, rate, share of the matrix product, memory and peers, under the head', () => {
    expect(cells(row(result()))).toEqual([
      ...['a training step', '250 ms', '48', '81 %', '200 MiB'],
      'pytorch 1.50 (1.25–2.00, 300 MiB)',
    ])
    expect(cells(row(result({ seconds: spread(2.5) }))).slice(1, 3)).toEqual(['2.50 s', '5'])
    expect(cells(row(result({ gflopsPerRun: 0.123 })))[2]).toBe('0.49')
    const end = (line: string, cell: string): number => line.indexOf(cell) + cell.length
    expect(end(row(result()), '200 MiB')).toBe(end(tableHead, 'memory'))
    expect(end(row(result()), '250 ms')).toBe(end(tableHead, 'time'))
  })

  it('says why a peer is missing, and what other programs took', () => {
    const peers = [peer('pytorch', 1), peer('jax', 20)]
    const line = row(result({ peers, skipped: { tfjs: 'not installed' }, disturbance: 0.123 }))
    expect(line).toMatch(
      /pytorch 1\.00 .*; jax 20\.00 .*; tfjs: not installed; other programs took up to 12 % meanwhile$/,
    )
    expect(row(result({ disturbance: 0.04 }))).not.toContain('other programs')
  })
})

describe('drawChart', () => {
  const orange = [0xd9, 0x62, 0x2b]

  /** The first and last columns and the number of rows of a colour, in pixels of the drawing. */
  const bars = async (results: readonly CaseResult[], colour = orange) => {
    const { data, info } = await sharp(await drawChart(results)).removeAlpha().raw().toBuffer({ resolveWithObject: true }) // biome-ignore format: one line
    const [columns, rows] = [new Set<number>(), new Set<number>()]
    for (let y = 2 * 70; y < info.height; y++) {
      for (let x = 0; x < info.width; x++) {
        const at = 3 * (y * info.width + x)
        if (!colour.every((value, c) => data[at + c] === value)) continue
        columns.add(x / 2)
        rows.add(y / 2)
      }
    }
    return {
      from: Math.min(...columns),
      to: Math.max(...columns),
      rows: rows.size / 2,
      height: info.height / 2,
    }
  }

  it('has a bar from 1 to the median on a logarithmic axis, to the right where we are faster', async () => {
    const [twice, half] = [await bars([result({ peers: [peer('pytorch', 2)] })]), await bars([result({ peers: [peer('pytorch', 0.5)] })])] // biome-ignore format: one line
    // Both axes run from 0.475 to 2.1: the bars begin at the same place and are equally long.
    expect(Math.abs(twice.from - half.to)).toBeLessThanOrEqual(1)
    expect(Math.abs(twice.to - twice.from - (half.to - half.from))).toBeLessThanOrEqual(1)
    const unit = (1120 - 400 - 70) / Math.log(2.1 / 0.475)
    expect(Math.abs(twice.from - (400 + unit * Math.log(1 / 0.475)))).toBeLessThanOrEqual(1)
    expect(Math.abs(twice.to - twice.from - unit * Math.log(2))).toBeLessThanOrEqual(1)
  })

  it('has a bar for each peer of a case, and leaves cases without peers out', async () => {
    const alone = await bars([result({ peers: [] })])
    const one = await bars([result(), result({ peers: [] })])
    const two = await bars([result(), result()])
    expect(await bars([result()])).toEqual(one)
    expect([alone.rows, two.rows]).toEqual([0, 2 * one.rows])
    expect(one.height - alone.height).toBe(two.height - one.height)
    const both = [result({ peers: [peer('pytorch', 2), peer('jax', 2)] })]
    expect((await bars(both, [0x3b, 0x7d, 0xd8])).rows).toBe((await bars(both)).rows)
  })
})
