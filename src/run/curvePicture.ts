/** @file Curves as one PNG, for documents that cannot hold SVG with a style sheet. */
import sharp from 'sharp'
import { type Curve, curveSize, curveSvg, seriesColours } from './curve.ts'
import { escapeMarkup } from './escape.ts'

const colours = ['#2457c5', '#d4541b', '#14804f', '#8a3ab9', '#a97900', '#0b7f92']
const columns = 2
const head = 58
const gap = 24
const density = 144

const style = `
  text { font: 12px sans-serif; fill: #63666d } .title { font-size: 15px; font-weight: bold; fill: #1c1d20 }
  path { fill: none; stroke-width: 1.5 } .axis, .tick { stroke: #63666d } .grid { stroke: #e3e3df }
  ${colours.map((c, i) => `.s${i} path { stroke: ${c}; stroke-width: 2 } .s${i} circle { fill: ${c} } .s${i} text { fill: ${c} }`).join('\n')}
  .dashed path { stroke-dasharray: 6 4 } g.series path.error { stroke-width: 1; stroke-dasharray: none }`

const panel = (curve: Curve, x: number, y: number): string => {
  let at = 8
  const legend =
    curve.series.length < 2
      ? ''
      : curve.series
          .map(({ name }, i) => {
            const own = `<g class="s${i % seriesColours}"><text x="${at}" y="44">${escapeMarkup(name)}</text></g>`
            at += 7.5 * name.length + 18
            return own
          })
          .join('')
  const plot = curveSvg(curve).replace(
    '<svg ',
    `<svg y="${head}" width="${curveSize.width}" height="${curveSize.height}" `,
  )
  return `<svg x="${x}" y="${y}" width="${curveSize.width}" height="${head + curveSize.height}"><text class="title" x="8" y="20">${escapeMarkup(curve.title)}</text>${legend}${plot}</svg>`
}

/** PNG bytes of curves, two beside each other. */
export const curvesPng = async (curves: readonly Curve[]): Promise<Uint8Array> => {
  const [w, h] = [curveSize.width + gap, curveSize.height + head + gap]
  const across = Math.min(columns, Math.max(1, curves.length))
  const [width, height] = [gap + across * w, gap + Math.max(1, Math.ceil(curves.length / columns)) * h]
  const panels = curves.map((curve, i) =>
    panel(curve, gap + (i % columns) * w, gap + Math.floor(i / columns) * h),
  )
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><style>${style}</style><rect width="${width}" height="${height}" fill="white"/>${panels.join('')}</svg>`
  return sharp(Buffer.from(svg), { density }).png().toBuffer()
}
