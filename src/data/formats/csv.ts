/** @file Tables of comma-separated values, as RFC 4180 has them: fields may be quoted, and hold commas, quotes and line breaks then. */

/** The end of a quoted field: after the quote that is neither doubled nor the one that opens it. */
const endOfQuoted = (text: string, start: number): number => {
  for (let at = start + 1; ; at += 2) {
    at = text.indexOf('"', at)
    if (at < 0 || text[at + 1] !== '"') return at < 0 ? -1 : at + 1
  }
}

/** Rows of fields one after the other; empty lines are left out. @throws for a quote that is not closed, with its line */
export function* csvRows(text: string): Generator<readonly string[]> {
  const separator = /,|\r\n|\n|\r|$/g
  let row: string[] = []
  for (let at = text.startsWith('\uFEFF') ? 1 : 0; at < text.length; ) {
    const isQuoted = text[at] === '"'
    const end = isQuoted ? endOfQuoted(text, at) : at
    separator.lastIndex = Math.max(0, end)
    const found = separator.exec(text)
    if (found === null || end < 0 || (isQuoted && found.index !== end)) {
      const line = text.slice(0, at).split(/\r\n|\n|\r/).length
      throw new Error(`line ${line} has a quote that is not closed, or text beside one`)
    }
    const field = text.slice(at, found.index)
    row.push(isQuoted ? field.slice(1, -1).replaceAll('""', '"') : field)
    at = found.index + found[0].length
    if (found[0] === ',') {
      if (at < text.length) continue
      row.push('')
    }
    if (row.length > 1 || row[0] !== '') yield row
    row = []
  }
}
