/** @file Tables of comma-separated values, as RFC 4180 has them: fields may be quoted, and hold commas, quotes and line breaks then. */

/** Rows of fields; empty lines are left out. */
export const parseCsv = (text: string): readonly (readonly string[])[] => {
  const rows: string[][] = []
  let row: string[] = []
  // a quoted field with its quotes doubled, or one without any; then what ends it
  const fields = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n|\n|\r|$)/y
  const from = text.startsWith('\uFEFF') ? 1 : 0
  fields.lastIndex = from
  while (fields.lastIndex < text.length) {
    const at = fields.lastIndex
    const found = fields.exec(text)
    if (found === null) {
      const line = text.slice(from, at).split(/\r\n|\n|\r/).length
      throw new Error(`line ${line} has a quote that is not closed, or text beside one`)
    }
    const [, field, end] = found
    row.push(field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field)
    if (end === ',') {
      // a line may end with a comma, and the text with it
      if (fields.lastIndex === text.length) row.push('')
      else continue
    }
    if (row.length > 1 || row[0] !== '') rows.push(row)
    row = []
  }
  if (row.length > 0) rows.push(row)
  return rows
}
