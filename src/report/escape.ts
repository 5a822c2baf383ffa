/** @file Text that is safe inside HTML and SVG. */

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** The text with the five characters that mean something in markup replaced; safe in content and in attributes. */
export const escapeMarkup = (text: string): string => text.replace(/[&<>"']/g, (c) => entities[c])
