/** @file Curves as one PNG, for documents that cannot hold SVG with a style sheet. */
import sharp from 'sharp'
import { type Curve, curveSize, curveSvg, seriesColours } from './curve.ts'
import { escapeMarkup } from './escape.ts'

const colours = ['#2457c5', '#d4541b', '#14804f', '#8a3ab9', '#a97900', '#0b7f92']
const columns = 2
/** Height of the title, and of a row of names. */
const [titleHeight, rowHeight] = [32, 18]
const gap = 24
const density = 144

const style = `
  text { font: 12px sans-serif; fill: #63666d } .title { font-size: 15px; font-weight: bold; fill: #1c1d20 }
  path { fill: none; stroke-width: 1.5 } .axis, .tick { stroke: #63666d } .grid { stroke: #e3e3df }
  ${colours.map((c, i) => `.s${i} path { stroke: ${c}; stroke-width: 2 } .s${i} circle { fill: ${c} } .s${i} text { fill: ${c} }`).join('\n')}
  .dashed path { stroke-dasharray: 6 4 } g.series path.error { stroke-width: 1; stroke-dasharray: none }`

/** Where the names of a curve's series stand: beside each other as long as they fit. */
const legendOf = ({ series }: Curve): readonly { readonly x: number; readonly row: number }[] => {
  let [x, row] = [8, 0]
  if (series.length < 2) return []
  return series.map(({ name }) => {
    const width = 6.8 * name.length + 18
    if (x > 8 && x + width > curveSize.width) [x, row] = [8, row + 1]
    x += width
    return { x: x - width, row }
  })
}

const panel = (curve: Curve, x: number, y: number, head: number): string => {
  const legend = legendOf(curve).map(
    (at, i) =>
      `<g class="s${i % seriesColours}"><text x="${at.x}" y="${titleHeight + 12 + at.row * rowHeight}">${escapeMarkup(curve.series[i].name)}</text></g>`,
  )
  const plot = curveSvg(curve).replace(
    '<svg ',
    `<svg y="${head}" width="${curveSize.width}" height="${curveSize.height}" `,
  )
  return `<svg x="${x}" y="${y}" width="${curveSize.width}" height="${head + curveSize.height}"><text class="title" x="8" y="20">${escapeMarkup(curve.title)}</text>${legend.join('')}${plot}</svg>`
}

/** PNG bytes of curves, two beside each other. */
export const curvesPng = async (curves: readonly Curve[]): Promise<Uint8Array> => {
  const rows = curves.map((curve) => 1 + (legendOf(curve).at(-1)?.row ?? 0))
  const head = titleHeight + 8 + rowHeight * Math.max(1, ...rows)
  const [w, h] = [curveSize.width + gap, curveSize.height + head + gap]
  const across = Math.min(columns, Math.max(1, curves.length))
  const [width, height] = [gap + across * w, gap + Math.max(1, Math.ceil(curves.length / columns)) * h]
  const panels = curves.map((curve, i) =>
    panel(curve, gap + (i % columns) * w, gap + Math.floor(i / columns) * h, head),
  )
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><style>${style}</style><rect width="${width}" height="${height}" fill="white"/>${panels.join('')}</svg>`
  return sharp(Buffer.from(svg), { density }).png().toBuffer()
}
