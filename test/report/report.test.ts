import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { float32 } from '../../src/engine/host/tensor.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { add } from '../../src/engine/ops/core.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { type Curve, curveFrame, curveSize, curveSvg } from '../../src/report/curve.ts'
import { escapeMarkup } from '../../src/report/escape.ts'
import { mostAnimationBytes, type Report, renderReport } from '../../src/report/html.ts'
import { formatNumber, linearTicks, logTicks } from '../../src/report/ticks.ts'

const hostile = `<script>alert("x")</script> & 'quoted' </pre></svg>`

const curve = (points: readonly (readonly [number, number])[], logY = false): Curve => ({
  title: 'Loss',
  xLabel: 'step',
  yLabel: 'nats',
  logY,
  series: [{ name: 'train', points }],
})

const report = (text: string): Report => ({
  title: text,
  summary: [{ label: text, value: text, note: text }],
  sections: [
    {
      heading: text,
      text: `${text}\n\n${text}`,
      curves: [
        {
          ...curve([[0, 1]]),
          title: text,
          xLabel: text,
          yLabel: text,
          series: [{ name: text, points: [[1, 2]] }],
        },
        curve([]),
      ],
      images: [
        { png: Uint8Array.of(1, 2, 255), caption: text, width: 64 },
        { webp: Uint8Array.of(3, 4, 254), caption: text },
      ],
      table: { head: [text, 'n'], rows: [[text, 1234.5678]] },
      settings: text,
    },
    { heading: 'two' },
    { heading: 'three' },
  ],
})

/** All start tags with their attributes, after a check that tags nest and that nothing unescaped is left between. */
const tags = (html: string): { name: string; attributes: string }[] => {
  const isVoid = new Set(['meta', 'img'])
  const open: string[] = []
  const found: { name: string; attributes: string }[] = []
  const body = html.replace(/^<!DOCTYPE html>/, '').replace(/<style>[^<]*<\/style>/, '')
  const token = /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z-]+="[^"<>]*")*)\s*(\/?)>|([^<]+)|(<)/g
  for (const [whole, close, name, attributes, selfClosing, text, stray] of body.matchAll(token)) {
    expect(stray, `stray ${whole}`).toBeUndefined()
    if (text !== undefined) {
      expect(text.replace(/&(amp|lt|gt|quot|#39);/g, '')).not.toMatch(/[&>]/)
    } else if (close) {
      expect(open.pop()).toBe(name)
    } else {
      found.push({ name, attributes })
      if (!selfClosing && !isVoid.has(name)) open.push(name)
    }
  }
  expect(open).toEqual([])
  return found
}

describe('page', () => {
  test('is well formed and harmless whatever the texts are', () => {
    const found = tags(renderReport(report(hostile)))
    expect(found.map((tag) => tag.name)).not.toContain('script')
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        tags(renderReport(report(text)))
      }),
      { numRuns: 50 },
    )
  })

  test('shows each text escaped, at every place', () => {
    const html = renderReport(report(hostile))
    const escaped = escapeMarkup(hostile)
    expect(escaped).toBe(
      '&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;quoted&#39; &lt;/pre&gt;&lt;/svg&gt;',
    )
    expect(html).not.toContain(hostile)
    // title, h1, contents, summary ×3, heading, 2 paragraphs, curve title ×2, labels ×2, series ×2, images ×4, table ×2, settings
    expect(html.split(escaped).length - 1).toBe(22)
  })

  test('asks for nothing from outside', () => {
    const html = renderReport(report('plain'))
    expect(html).not.toMatch(/https?:|\/\/|@import|url\(/)
    for (const { attributes } of tags(html)) {
      for (const [, value] of attributes.matchAll(/\s(?:src|href|srcset|data|action)="([^"]*)"/g)) {
        expect(value).toMatch(/^(data:image\/(png|webp);base64,|#section-\d+$)/)
      }
    }
    expect(html).toContain(`src="data:image/png;base64,${Buffer.from([1, 2, 255]).toString('base64')}"`)
    expect(html).toContain(`src="data:image/webp;base64,${Buffer.from([3, 4, 254]).toString('base64')}"`)
    expect(html).toContain('prefers-color-scheme: dark')
  })

  test('links lead to sections, numbers are short, rows must fit', () => {
    const html = renderReport(report('plain'))
    for (const [, id] of html.matchAll(/href="#([^"]+)"/g)) expect(html).toContain(`id="${id}"`)
    expect(html).toContain('<td class="number">1,235</td>')
    const uneven: Report = {
      title: '',
      summary: [],
      sections: [{ heading: '', table: { head: ['a'], rows: [[]] } }],
    }
    expect(() => renderReport(uneven)).toThrow('a table row has 0 cells under 1 headings')
  })

  test('an animation has a bound in bytes', () => {
    const page = (bytes: number): string => {
      const images = [{ webp: new Uint8Array(bytes), caption: 'samples' }]
      return renderReport({ title: '', summary: [], sections: [{ heading: '', images }] })
    }
    expect(page(mostAnimationBytes).length).toBeGreaterThan((mostAnimationBytes * 4) / 3)
    expect(() => page(mostAnimationBytes + 1)).toThrow(
      'the animation "samples" has 4194305 bytes; a page takes 4194304',
    )
  })
})

describe('curve', () => {
  const { width, height, left, right, top, bottom } = curveSize
  const [end, floor] = [width - right, height - bottom]

  const circles = (svg: string): number[][] =>
    [...svg.matchAll(/<circle cx="([^"]+)" cy="([^"]+)"/g)].map(([, x, y]) => [Number(x), Number(y)])

  test('points are where the axes say', () => {
    const frame = curveFrame(
      curve([
        [0, 10],
        [50, 20],
        [100, 30],
      ]),
    )
    expect([frame.x(0), frame.x(50), frame.x(100)]).toEqual([left, (left + end) / 2, end])
    // 5 % of 20 below and above
    expect(frame.y(9)).toBeCloseTo(floor)
    expect(frame.y(31)).toBeCloseTo(top)
    expect(frame.xTicks).toEqual([0, 20, 40, 60, 80, 100])
    expect(frame.yTicks).toEqual([10, 15, 20, 25, 30])

    const svg = curveSvg(
      curve([
        [0, 10],
        [50, 20],
        [100, 30],
      ]),
    )
    const unit = (floor - top) / 22
    const expected = [
      [left, floor - unit],
      [(left + end) / 2, floor - 11 * unit],
      [end, top + unit],
    ].map((point) => point.map((v) => Number(v.toFixed(1))))
    expect(circles(svg)).toEqual(expected)
    expect(svg).toContain(`d="M${expected.map((point) => point.join(' ')).join('L')}"`)
    expect(svg).toContain(
      `<text x="${(left + (3 * (end - left)) / 5).toFixed(1)}" y="${floor + 17}" text-anchor="middle">60<`,
    )
  })

  test('an axis close to zero starts there; equal values get room', () => {
    expect(
      curveFrame(
        curve([
          [0, 1],
          [1, 9],
        ]),
      ).y(0),
    ).toBe(floor)
    const flat = curveFrame(curve([[5, 4]]))
    expect(flat.x(5)).toBeCloseTo((left + end) / 2)
    expect(flat.y(4)).toBeCloseTo((top + floor) / 2)
  })

  test('logarithmic axis: equal ratios, equal distances', () => {
    const frame = curveFrame(
      curve(
        [
          [0, 0.01],
          [1, 100],
        ],
        true,
      ),
    )
    const steps = [0.01, 0.1, 1, 10].map((v) => frame.y(v) - frame.y(10 * v))
    for (const step of steps) expect(step).toBeCloseTo((floor - top) / 4.4)
    expect(frame.yTicks).toEqual([0.01, 0.1, 1, 10, 100])
  })

  test('points without a place interrupt the line', () => {
    const svg = curveSvg(
      curve(
        [
          [0, 1],
          [1, Number.NaN],
          [2, 2],
          [3, 0],
          [4, 4],
        ],
        true,
      ),
    )
    expect(circles(svg).length).toBe(3)
    expect(svg).toMatch(/class="series s0"><path d="M[^ML]+h0M[^ML]+h0M[^ML]+h0"/)
    expect(svg).not.toContain('NaN')
    expect(curveSvg(curve([[Number.NaN, 1]]))).toContain('no data yet')
  })

  /** x and both ends of every error bar. */
  const bars = (svg: string): number[][] =>
    [...svg.matchAll(/<path class="error" d="M(\S+) (\S+)V(\S+)"\/>/g)].map((found) =>
      found.slice(1).map(Number),
    )

  const withErrors = (
    points: readonly (readonly [number, number])[],
    errors: readonly number[],
    logY = false,
  ): Curve => ({ ...curve(points, logY), series: [{ name: 'mean', points, errors }] })

  const tenth = (values: readonly number[]): number[] => values.map((v) => Number(v.toFixed(1)))

  test('error bars reach one standard error up and down, within the axes', () => {
    const drawn = withErrors(
      [
        [0, 110],
        [50, 120],
        [100, 130],
      ],
      [2, 0, 10],
    )
    // 108 to 140, and 5 % of 32 beyond.
    const frame = curveFrame(drawn)
    const unit = (floor - top) / (1.1 * 32)
    expect(frame.y(140)).toBeCloseTo(top + 1.6 * unit)
    expect(frame.y(108)).toBeCloseTo(floor - 1.6 * unit)
    const svg = curveSvg(drawn)
    expect(bars(svg)).toEqual([
      tenth([left, floor - 1.6 * unit, floor - 5.6 * unit]),
      tenth([end, floor - 13.6 * unit, top + 1.6 * unit]),
    ])
    expect(circles(svg)[0]).toEqual(tenth([left, floor - 3.6 * unit]))
    const plain = withErrors(drawn.series[0].points, [0, 0, 0])
    expect(curveSvg(plain)).toBe(curveSvg(curve(plain.series[0].points)).replaceAll('train: ', 'mean: '))
  })

  test('an error bar on a logarithmic axis ends at its foot where it reaches zero', () => {
    const drawn = withErrors(
      [
        [0, 1],
        [1, 10],
        [2, -1],
        [3, 100],
      ],
      [1, 9, 5, Number.NaN],
      true,
    )
    const { y } = curveFrame(drawn)
    expect(y(1) - y(10)).toBeCloseTo(y(10) - y(100))
    expect(bars(curveSvg(drawn))).toEqual([
      tenth([left, floor, y(2)]),
      tenth([left + (end - left) / 3, y(1), y(19)]),
    ])
  })

  test('every error bar stays inside the frame', () => {
    const point = fc.tuple(
      fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
      fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
    )
    const error = fc.double({ min: -1, max: 1e6 })
    fc.assert(
      fc.property(
        fc.array(fc.tuple(point, error), { minLength: 1, maxLength: 20 }),
        fc.boolean(),
        (all, logY) => {
          const svg = curveSvg(
            withErrors(
              all.map(([p]) => p),
              all.map(([, e]) => e),
              logY,
            ),
          )
          expect(svg).not.toContain('NaN')
          for (const [x, low, high] of bars(svg)) {
            for (const y of [low, high]) {
              expect(y).toBeGreaterThanOrEqual(top - 0.1)
              expect(y).toBeLessThanOrEqual(floor + 0.1)
            }
            expect(high).toBeLessThanOrEqual(low)
            expect(x).toBeGreaterThanOrEqual(left)
          }
        },
      ),
    )
  })

  test('a long line is thinned without losing its extremes', () => {
    const points = Array.from({ length: 50_000 }, (_, i): [number, number] => [
      i,
      i === 31_234 ? 90 : Math.sin(i),
    ])
    const svg = curveSvg(curve(points))
    const drawn = [...svg.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)])
    expect(drawn.length).toBeLessThan(4 * width + 20)
    const frame = curveFrame(curve(points))
    expect(drawn).toContainEqual([frame.x(31_234), frame.y(90)].map((v) => Number(v.toFixed(1))))
    const xs = svg
      .match(/ dense"><path d="M([^"]+)"/)![1]
      .split('L')
      .map((pair) => Number(pair.split(' ')[0]))
    expect(xs).toEqual([...xs].sort((a, b) => a - b))
    expect([xs[0], xs.at(-1)]).toEqual([left, end])
  })

  const expectInside = (points: readonly (readonly [number, number])[], logY: boolean): void => {
    const frame = curveFrame(curve(points, logY))
    const [xs, ys] = [frame.xTicks.map(frame.x), frame.yTicks.map(frame.y)]
    for (const [x, y] of points) {
      if (logY && y < 1e-299) continue
      xs.push(frame.x(x))
      ys.push(frame.y(y))
    }
    for (const [own, low, high] of [[xs, left, end] as const, [ys, top, floor] as const]) {
      expect(Math.min(...own)).toBeGreaterThanOrEqual(low - 1e-3)
      expect(Math.max(...own)).toBeLessThanOrEqual(high + 1e-3)
    }
  }

  test.each([1e12, 9.9e299])('every series and every tick up to %d stays inside the frame', (most) => {
    const value = fc.double({ noNaN: true, min: -most, max: most })
    fc.assert(fc.property(fc.array(fc.tuple(value, value), { minLength: 1 }), fc.boolean(), expectInside))
  })

  test('numbers that only rounding tells apart have an axis around them', () => {
    for (const size of [1, 1e12, 1e-12])
      for (const sign of [1, -1])
        expectInside([[sign * size, size], [sign * size * (1 + 1e-14), size * (1 - 1e-14)]], false) // biome-ignore format: one line
  })

  test.each([false, true])('the smallest and the largest numbers have axes: logarithmic %s', (logY) => {
    const [small, large] = [1.1e-300, 9.9e299]
    expectInside([[0, small], [1, large]], logY) // biome-ignore format: one line
    expectInside([[large, large]], logY)
    expectInside([[small, small]], logY)
    expectInside([[-large, -large], [large, large]], logY) // biome-ignore format: one line
  })

  test('the ends of a logarithmic axis are normal numbers: smaller ones are 0 once ONNX Runtime ran', async () => {
    const program = trace('double', { x: { shape: [1] } }, ({ x }) => ({ y: add(x, x) }))
    const executable = await new NodeRuntime({ threads: 1 }).compile(program)
    await executable.run({ x: float32([1], [1]) })
    await executable.dispose()
    expect(Number.MIN_VALUE > 0).toBe(false)
    const frame = curveFrame(curve([[0, 1.1e-300], [1, 9.9e299]], true)) // biome-ignore format: one line
    expect(frame.y(1e-307)).toBeCloseTo(floor)
    expect(frame.y(1e308)).toBeCloseTo(top)
    expect(frame.yTicks).toEqual([1e-248, 1e-124, 1, 1e124, 1e248])
  })
})

describe('ticks', () => {
  test('are round, in order, inside, and about as many as asked', () => {
    expect(linearTicks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1])
    expect(linearTicks(-0.3, 0.3, 6)).toEqual([-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3])
    expect(linearTicks(0, 20_000, 6)).toEqual([0, 5000, 10_000, 15_000, 20_000])
    expect(linearTicks(0, 1e-299, 5)).toEqual([0, 2e-300, 4e-300, 6e-300, 8e-300, 1e-299])
    expect(linearTicks(9e299, 9.9e299, 5)).toEqual([9e299, 9.2e299, 9.4e299, 9.6e299, 9.8e299])
    expect(logTicks(0.4, 12, 5)).toEqual([0.5, 1, 2, 5, 10])
    expect(logTicks(1e-12, 1e3, 5).length).toBeLessThanOrEqual(7)
    expect(logTicks(2.1, 2.4, 5)).toEqual(linearTicks(2.1, 2.4, 5))
    expect(() => linearTicks(1, 1, 5)).toThrow('not an interval')
    expect(() => logTicks(0, 1, 5)).toThrow('positive')
    const bounds = fc.tuple(
      fc.double({ min: -1e9, max: 1e9, noNaN: true }),
      fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
    )
    fc.assert(
      fc.property(bounds, fc.integer({ min: 3, max: 8 }), ([low, span], count) => {
        const high = low + span
        if (!(span > Math.abs(low) * 1e-9)) return
        const ticks = linearTicks(low, high, count)
        expect(ticks.length).toBeGreaterThanOrEqual(Math.floor(count / 2.5))
        expect(ticks.length).toBeLessThanOrEqual(count + 2)
        for (const tick of ticks) {
          expect(tick).toBeGreaterThanOrEqual(low - span * 1e-6)
          expect(tick).toBeLessThanOrEqual(high + span * 1e-6)
        }
      }),
    )
  })

  test('numbers are written short', () => {
    const written: [number, string][] = [
      [0, '0'],
      [0.05, '0.05'],
      [1.5, '1.5'],
      [-12.3456, '−12.35'],
      [100, '100'],
      [12_000, '12k'],
      [999_960, '1M'],
      [1_500_000, '1.5M'],
      [2e-5, '2e-5'],
      [1e16, '1e16'],
      [Number.NaN, '–'],
    ]
    for (const [x, text] of written) expect(formatNumber(x)).toBe(text)
    expect(formatNumber(1.00012, 6)).toBe('1.00012')
  })
})
