/** @file report.html: one page about a run that opens anywhere, without network and without script. */
import { type Curve, curveFigure } from './curve.ts'
import { escapeMarkup } from './escape.ts'
import { reportStyle } from './reportStyle.ts'

/** A number worth stating at the top, with its unit in the label or the value. */
export interface SummaryItem {
  readonly label: string
  readonly value: string
  readonly note?: string
}

/** A PNG image, or a WebP that plays. */
export type Image = ({ readonly png: Uint8Array } | { readonly webp: Uint8Array }) & {
  readonly caption: string
  /** Width on the page in CSS pixels; the image's own width when left out. */
  readonly width?: number
}

/** Bytes of an animation at most: a page with a few of them is still read in one go and sent by mail. */
export const mostAnimationBytes: number = 4 * 2 ** 20

/** Rows as wide as the head. Numbers are aligned to the right and printed with up to four significant digits. */
export interface Table {
  readonly head: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
}

/** A part of the report; what is given is shown in this order. */
export interface Section {
  readonly heading: string
  /** Plain text; an empty line starts a paragraph. */
  readonly text?: string
  readonly curves?: readonly Curve[]
  readonly images?: readonly Image[]
  readonly table?: Table
  /** The run's settings, shown as they are. */
  readonly settings?: string
}

/** All that the page says. Every text is plain and escaped here. */
export interface Report {
  readonly title: string
  readonly summary: readonly SummaryItem[]
  readonly sections: readonly Section[]
}

/** Forbids the page every request, so that a forgotten link shows as missing rather than as a call home. */
const policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

const summaryItem = ({ label, value, note }: SummaryItem): string => {
  const remark = note === undefined ? '' : `<dd class="note">${escapeMarkup(note)}</dd>`
  return `<div><dt>${escapeMarkup(label)}</dt><dd class="value">${escapeMarkup(value)}</dd>${remark}</div>`
}

/** @throws when an animation is too large for a page */
const image = (shown: Image): string => {
  const { caption, width } = shown
  const [type, bytes] = 'png' in shown ? ['png', shown.png] : ['webp', shown.webp]
  if (type === 'webp' && bytes.length > mostAnimationBytes) {
    throw new Error(
      `report: the animation "${caption}" has ${bytes.length} bytes; a page takes ${mostAnimationBytes}: make it with that as mostBytes`,
    )
  }
  const text = escapeMarkup(caption)
  const size = width === undefined ? '' : ` width="${width}"`
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
  return `<figure><img src="data:image/${type};base64,${data}" alt="${text}"${size}><figcaption>${text}</figcaption></figure>`
}

const cellText = (cell: string | number): string => {
  if (typeof cell === 'string') return cell
  if (!Number.isFinite(cell)) return '–'
  const digits = Number.isInteger(cell) ? {} : { maximumSignificantDigits: 4 }
  return cell.toLocaleString('en-US', digits).replace('-', '−')
}

const tableHtml = ({ head, rows }: Table): string => {
  for (const row of rows) {
    if (row.length !== head.length) {
      throw new Error(`report: a table row has ${row.length} cells under ${head.length} headings`)
    }
  }
  const numeric = head.map((_, column) => rows.some((row) => typeof row[column] === 'number'))
  const cells = (tag: string, row: readonly (string | number)[]): string =>
    row
      .map(
        (cell, i) => `<${tag}${numeric[i] ? ' class="number"' : ''}>${escapeMarkup(cellText(cell))}</${tag}>`,
      )
      .join('')
  const body = rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('\n')
  return `<div class="table"><table><thead><tr>${cells('th', head)}</tr></thead><tbody>${body}</tbody></table></div>`
}

const paragraphs = (text: string): string =>
  text
    .split(/\n\s*\n/)
    .filter((paragraph) => paragraph.trim() !== '')
    .map((paragraph) => `<p>${escapeMarkup(paragraph.trim())}</p>`)
    .join('\n')

const group = (kind: string, items: readonly string[]): string =>
  items.length === 0 ? '' : `<div class="${kind}">${items.join('\n')}</div>`

const sectionHtml = (section: Section, index: number): string => {
  const { heading, text = '', curves = [], images = [], table, settings } = section
  const parts = [
    `<h2>${escapeMarkup(heading)}</h2>`,
    paragraphs(text),
    group('curves', curves.map(curveFigure)),
    group('images', images.map(image)),
    table === undefined ? '' : tableHtml(table),
    // tabindex lets the keyboard scroll a long listing.
    settings === undefined ? '' : `<pre tabindex="0">${escapeMarkup(settings.trimEnd())}</pre>`,
  ]
  return `<section id="section-${index + 1}">\n${parts.filter((part) => part !== '').join('\n')}\n</section>`
}

/**
 * The page as HTML text, the same for the same report.
 * @throws when a table row is not as wide as the table's head, and when an animation is larger than `mostAnimationBytes`.
 */
export const renderReport = ({ title, summary, sections }: Report): string => {
  const links = sections.map(({ heading }, i) => `<a href="#section-${i + 1}">${escapeMarkup(heading)}</a>`)
  const contents = sections.length > 2 ? `<nav>${links.join('')}</nav>` : ''
  const items = summary.length > 0 ? `<dl class="summary">${summary.map(summaryItem).join('\n')}</dl>` : ''
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeMarkup(title)}</title>
<style>${reportStyle}</style>
</head>
<body>
<main>
<header>
<h1>${escapeMarkup(title)}</h1>
${items}
${contents}
</header>
${sections.map(sectionHtml).join('\n')}
</main>
</body>
</html>
`
}
