/** @file Text that is safe where it is shown: inside HTML and SVG, and on a terminal. */

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** What XML cannot hold at all, however it is written; the label of a folder that was called so is drawn without it. */
const outsideXml =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/**
 * The text with the five characters that mean something in markup replaced, and without those that markup cannot hold; safe
 * in content and in attributes.
 */
export const escapeMarkup = (text: string): string =>
  text.replace(outsideXml, '').replace(/[&<>"']/g, (c) => entities[c])

/** What steers a terminal, or turns the direction of what follows. Lines and tabs stay. */
const steering =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

/** The text with characters that steer a terminal written out, as JSON writes them: a folder may be called anything. */
export const visible = (text: string): string =>
  text.replace(steering, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** The text, cut where it is longer than so many characters. */
export const shortened = (text: string, most: number): string =>
  text.length > most ? `${[...text.slice(0, most)].slice(0, -1).join('')}…` : text

/** Characters of a sentence at most: names of any length may be in it. */
const longestSentence = 2000

/** The same in one line, and no longer than anybody reads. */
export const inOneLine = (text: string): string =>
  visible(shortened(text, longestSentence)).replaceAll('\n', '\\n').replaceAll('\t', '\\t')
