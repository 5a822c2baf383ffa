import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openClient } from '../../../site/src/studio/data/client.ts'
import {
  drawable,
  extended,
  isOutgrown,
  noSeries,
  valueAt,
  withDetail,
} from '../../../site/src/studio/data/series.ts'
import { openSeriesFeed } from '../../../site/src/studio/data/seriesFeed.ts'
import { smooth } from '../../../site/src/studio/data/smooth.ts'
import type { Series } from '../../../src/studio/api.ts'
import { fakeStudio, handClock, type Lines, settled } from './fakeStudio.ts'

const seriesOf = (lines: Lines): Series => {
  const values = lines.map(([, value]) => value)
  return { step: lines.map(([step]) => step), min: values, max: values, mean: values, count: lines.length }
}

describe('smooth', () => {
  const one = (values: readonly unknown[]): number[] => values.map(() => 1)

  it('is the weighted mean of a line and those before it', () => {
    const weight = 0.75
    const values = [3, -1, 4, 1, -5, 9]
    const expected = values.map((_, i) => {
      const weights = values.slice(0, i + 1).map((_, j) => weight ** (i - j))
      const total = weights.reduce((sum, w) => sum + w, 0)
      return weights.reduce((sum, w, j) => sum + w * values[j], 0) / total
    })
    const found = smooth(values, one(values), weight)
    for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 12)
  })

  it('takes a value of several lines as so many equal ones', () => {
    const [values, lines] = [
      [3, -1, 4],
      [2, 5, 3],
    ]
    const apart = values.flatMap((value, i) => Array<number>(lines[i]).fill(value))
    const all = smooth(apart, one(apart), 0.9)
    const found = smooth(values, lines, 0.9)
    for (const [i, last] of [1, 6, 9].entries()) expect(found[i]).toBeCloseTo(all[last] ?? Number.NaN, 12)
  })

  it('changes nothing at weight 0, nor a constant at any', () => {
    expect(smooth([1, null, 5], [1, 1, 4], 0)).toEqual([1, null, 5])
    const constant = Array<number>(500).fill(2.5)
    for (const value of smooth(constant, constant, 0.99)) expect(value).toBeCloseTo(2.5, 12)
  })

  it('keeps gaps and goes on behind them', () => {
    expect(smooth([4, null, 8], [1, 1, 1], 0.5)).toEqual([4, null, (8 + 0.5 * 4) / 1.5])
  })
})

describe('a series', () => {
  it('grows by what is behind its last step', () => {
    const series = seriesOf([
      [10, 1],
      [20, 2],
    ])
    const grown = extended(
      series,
      seriesOf([
        [20, 9],
        [30, 3],
      ]),
    )
    expect(grown.step).toEqual([10, 20, 30])
    expect(grown.mean).toEqual([1, 2, 3])
    expect(extended(series, seriesOf([[20, 9]]))).toBe(series)
    expect(extended(noSeries, series).step).toEqual([10, 20])
  })

  it('is outgrown beyond twice its parts', () => {
    const parts = (count: number): Series => seriesOf(Array.from({ length: count }, (_, i) => [i, 0]))
    expect([isOutgrown(parts(8), 4), isOutgrown(parts(9), 4)]).toEqual([false, true])
  })

  it('has more detail where it was zoomed into, and the rest as it was', () => {
    const series = {
      ...seriesOf([
        [10, 1],
        [20, 2],
        [30, 3],
        [40, 4],
      ]),
      count: 40,
    } // ten lines a part
    const detail = seriesOf([
      [12, 5],
      [14, 6],
      [20, 7],
    ])
    const { step, mean, lines } = withDetail(series, detail)
    expect(step).toEqual([10, 12, 14, 20, 30, 40])
    expect(mean).toEqual([1, 5, 6, 7, 3, 4])
    expect(lines).toEqual([10, 1, 1, 1, 10, 10])
    expect(withDetail(series, noSeries)).toEqual({ ...series, lines: [10, 10, 10, 10] })
    expect(
      withDetail(
        series,
        seriesOf([
          [35, 1],
          [45, 2],
        ]),
      ).step,
    ).toEqual([10, 20, 30, 35, 45])
    expect(withDetail(noSeries, detail).step).toEqual([12, 14, 20])
  })

  it('has gaps where a logarithm has no place', () => {
    expect(drawable([1, 0, -2, 1e-9, Number.NaN], true)).toEqual([1, null, null, 1e-9, null])
    expect(drawable([1, 0, -2], false)).toEqual([1, 0, -2])
  })

  it('gives the value at or before a step', () => {
    const [steps, values] = [
      [10, 20, 30],
      [1, null, 3],
    ]
    const found = [9, 10, 19, 25, 30, 1000].map((step) => valueAt(steps as number[], values, step))
    expect(found).toEqual([null, 1, 1, null, 3, 3])
  })
})

describe('a feed of a series', () => {
  const follow = () => {
    const studio = fakeStudio()
    const clock = handClock()
    const lines: Lines = []
    studio.logs.set('a', { psnr: lines })
    const shown: Series[] = []
    const faults: unknown[] = []
    const feed = openSeriesFeed({
      client: openClient({ fetch: studio.fetch, token: '', newToken: async () => '' }),
      query: { run: 'a', stage: 'stage1', metric: 'psnr', points: 100 },
      onSeries: (series) => shown.push(series),
      onFault: (fault) => faults.push(fault),
      after: clock.after,
    })
    const limits = () => studio.asked.map(({ query: { from, to } }) => [from, to])
    return { studio, clock, lines, shown, faults, feed, limits }
  }

  it('fetches the whole once, then what its log has grown by, and shows all', async () => {
    const { clock, lines, shown, feed, limits } = follow()
    lines.push([10, 1], [20, 2])
    feed.whole(null)
    await clock.pass(1000)
    lines.push([30, 3])
    feed.grew(30)
    await clock.pass(1000)
    expect(limits()).toEqual([
      [undefined, undefined],
      ['21', undefined],
    ])
    expect(shown.at(-1)?.step).toEqual([10, 20, 30])
    expect(shown.at(-1)?.mean).toEqual([1, 2, 3])
  })

  it('asks at most twice for a burst of lines, and has the last of them', async () => {
    const { clock, lines, shown, feed, limits } = follow()
    feed.whole(null)
    await clock.pass(1000)
    for (let step = 1; step <= 50; step++) {
      lines.push([step, step])
      feed.grew(step)
    }
    await clock.pass(1000)
    expect(limits().length).toBeLessThanOrEqual(3)
    expect(shown.at(-1)?.step).toHaveLength(50)
  })

  it('starts over when a run resumes at an older checkpoint', async () => {
    const { clock, lines, shown, feed } = follow()
    lines.push([10, 1], [20, 2], [30, 3])
    feed.whole(null)
    await clock.pass(1000)
    lines.splice(1, 2, [20, 5])
    feed.grew(20)
    await clock.pass(1000)
    expect(shown.at(-1)?.mean).toEqual([1, 5])
  })

  it('asks for the steps that are looked at, and for none beyond them', async () => {
    const { clock, lines, shown, feed, limits } = follow()
    lines.push([10, 1], [20, 2], [30, 3])
    feed.whole([9.5, 20])
    await clock.pass(1000)
    feed.grew(40)
    await clock.pass(1000)
    expect(limits()).toEqual([['9', '20']])
    expect(shown.at(-1)?.step).toEqual([10, 20])
  })

  it('shows no answer to a question that was replaced', async () => {
    const { clock, lines, shown, feed } = follow()
    lines.push([10, 1], [20, 2], [30, 3])
    feed.whole(null)
    feed.whole([20, 30]) // before the first answer came
    await clock.pass(1000)
    expect(shown.map(({ step }) => step)).toEqual([[20, 30]])
  })

  it('tells why there is nothing new, keeps what there is, and goes on once there is', async () => {
    const { studio, clock, lines, shown, faults, feed } = follow()
    lines.push([10, 1])
    feed.whole(null)
    await clock.pass(1000)
    studio.isDown = true
    feed.grew(20)
    await clock.pass(1000)
    expect(faults).toHaveLength(1)
    studio.isDown = false
    lines.push([20, 2])
    feed.grew(30)
    await clock.pass(1000)
    expect(shown.at(-1)?.step).toEqual([10, 20])
  })

  it('is silent once it is closed', async () => {
    const { clock, lines, shown, faults, feed } = follow()
    lines.push([10, 1])
    feed.whole(null)
    feed.close()
    await settled()
    await clock.pass(5000)
    expect([shown, faults]).toEqual([[], []])
  })

  it('has every step once and in order, however its log grows', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 120 }), { maxLength: 8 }), async (bursts) => {
        const { clock, lines, shown, feed } = follow()
        feed.whole(null)
        await clock.pass(1000)
        for (const burst of bursts) {
          const last = lines.at(-1)?.[0] ?? 0
          for (let i = 1; i <= burst; i++) lines.push([last + i, i])
          feed.grew(last + burst)
          await clock.pass(1000)
        }
        expect(shown.at(-1)?.step).toEqual(lines.map(([step]) => step))
      }),
      { numRuns: 10 },
    )
  })
})
