/** @file What is said of a data set when it is opened. */

import { kindsText } from './images/scan.ts'
import type { DataSplit, SkippedFile } from './images/source.ts'

/** Reasons that are named one by one, most frequent first. */
const reasonsShown = 3

/** What is the same about the reasons of many files: without names, numbers and places. */
const kindOf = (reason: string): string => reason.replace(/"[^"]*"|\S*[/\\]\S*/g, '…').replace(/\d+/g, 'N')

/** `3 damaged or cut off (first a/b.jpg), 1 …` */
export const skippedText = (skipped: readonly SkippedFile[]): string => {
  const kinds = new Map<string, { first: SkippedFile; count: number }>()
  for (const file of skipped) {
    const known = kinds.get(kindOf(file.reason))
    if (known) known.count++
    else kinds.set(kindOf(file.reason), { first: file, count: 1 })
  }
  const sorted = [...kinds.values()].sort((a, b) => b.count - a.count)
  const texts = sorted
    .slice(0, reasonsShown)
    .map(({ first, count }) => `${count} × ${first.reason} (${count > 1 ? 'first ' : ''}${first.file})`)
  const rest = sorted.slice(reasonsShown).reduce((sum, { count }) => sum + count, 0)
  return [...texts, ...(rest > 0 ? [`${rest} for other reasons`] : [])].join(', ')
}

/** What was ignored, by kind: a line, or none. */
export const ignoredLines = (ignored: Readonly<Record<string, number>>): string[] =>
  Object.keys(ignored).length > 0 ? [`data: ignored ${kindsText(ignored)}`] : []

/** At most four lines: what was read, what was ignored, what was skipped and why, how classes and split were decided. */
export const summaryLines = ({ train, validation, skipped, summary }: DataSplit): string[] => {
  const { files, ignored, classes, split } = summary
  const what = train.frames === undefined ? 'image' : 'clip'
  const both = `${train.count} ${what}${train.count === 1 ? '' : 's'} to train on, ${validation.count} held out`
  return [
    `data: ${both}, from ${files} file${files === 1 ? '' : 's'}`,
    ...ignoredLines(ignored),
    ...(skipped.length > 0 ? [`data: skipped ${skipped.length}: ${skippedText(skipped)}`] : []),
    `data: ${classes}; ${split}`,
  ]
}
