/** @file The bar chart: for every case and peer how many times as fast as the peer we are, on a logarithmic axis. */
import sharp from 'sharp'
import { escapeMarkup } from '../src/report/escape.ts'
import { formatNumber, logTicks } from '../src/report/ticks.ts'
import type { CaseResult, PeerResult } from './result.ts'

const width = 1120
const left = 400
const right = 70
const top = 92
const bottom = 20
const bar = 15
const gap = 13
const density = 144

/** Colour and full name by peer. */
const styles: Readonly<Record<string, { readonly colour: string; readonly title: string }>> = {
  pytorch: { colour: '#d9622b', title: 'PyTorch, tuned' },
  'pytorch-compiled': { colour: '#8e4585', title: 'PyTorch, torch.compile' },
  'pytorch-usual': { colour: '#e8a27c', title: 'PyTorch, as usually written' },
  tfjs: { colour: '#e3b23c', title: 'TensorFlow.js (wasm)' },
  jax: { colour: '#3b7dd8', title: 'jax-js (wasm)' },
}

const text = (x: number, y: number, content: string, style = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${style}>${escapeMarkup(content)}</text>`
const rectangle = (x: number, y: number, w: number, h: number, colour: string): string =>
  `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${w.toFixed(1)}" height="${h}" fill="${colour}"/>`
const rule = (x0: number, y0: number, x1: number, y1: number, style: string): string =>
  `<line x1="${x0.toFixed(1)}" y1="${y0.toFixed(1)}" x2="${x1.toFixed(1)}" y2="${y1.toFixed(1)}" ${style}/>`

/** One bar from 1 to the median, a line from the least to the greatest ratio, and the median in words. */
const drawBar = ({ name, ratio }: PeerResult, y: number, x: (ratio: number) => number): string => {
  const [from, to] = [x(1), x(ratio.median)].sort((a, b) => a - b) as [number, number]
  const middle = y + bar / 2
  const beyond = Math.max(x(ratio.max), x(1)) + 7
  return [
    rectangle(from, y, Math.max(1, to - from), bar, styles[name].colour),
    rule(x(ratio.min), middle, x(ratio.max), middle, 'stroke="#333" stroke-width="1.5"'),
    text(beyond, middle + 4.5, `${ratio.median.toFixed(ratio.median < 10 ? 2 : 0)}×`, 'font-size="13"'),
  ].join('')
}

const legend = (names: readonly string[]): string => {
  let x = left
  return names
    .map((name) => {
      const { colour, title } = styles[name]
      const own = rectangle(x, 46, 12, 12, colour) + text(x + 18, 57, title, 'font-size="13"')
      x += 18 + 8 * title.length + 24
      return own
    })
    .join('')
}

/** PNG bytes of the chart; cases without a peer are left out. */
export const drawChart = async (results: readonly CaseResult[]): Promise<Uint8Array> => {
  const shown = results.filter(({ peers }) => peers.length > 0)
  const names = Object.keys(styles).filter((name) =>
    shown.some(({ peers }) => peers.some((peer) => peer.name === name)),
  )
  const ratios = shown.flatMap(({ peers }) => peers.flatMap(({ ratio }) => [ratio.min, ratio.max]))
  const low = Math.min(0.5, ...ratios) * 0.95
  const high = Math.max(2, ...ratios) * 1.05
  const x = (ratio: number): number =>
    left + (Math.log(ratio / low) / Math.log(high / low)) * (width - left - right)
  const parts: string[] = []
  let y = top + gap / 2
  for (const { title, peers } of shown) {
    const height = peers.length * bar
    parts.push(text(left - 14, y + height / 2 + 4.5, title, 'font-size="13" text-anchor="end"'))
    for (const [i, peer] of peers.entries()) parts.push(drawBar(peer, y + i * bar, x))
    y += height + gap
  }
  const height = y + bottom
  const grid = logTicks(low, high, 8).map(
    (tick) =>
      rule(x(tick), top, x(tick), y, `stroke="${tick === 1 ? '#333' : '#ddd'}" stroke-width="1"`) +
      text(x(tick), top - 7, `${formatNumber(tick)}×`, 'font-size="12" fill="#666" text-anchor="middle"'),
  )
  const heading = text(14, 30, 'How many times as fast as …', 'font-size="18" font-weight="bold"')
  const note = text(left, 30, 'the same work, losses and values checked, in alternation', 'font-size="13"')
  const background = rectangle(0, 0, width, height, '#fff')
  const body = [background, heading, note, legend(names), ...grid, ...parts].join('')
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" fill="#222">${body}</svg>`
  return sharp(Buffer.from(svg), { density }).png().toBuffer()
}
