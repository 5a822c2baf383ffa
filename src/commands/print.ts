/** @file What commands print: results on stdout, warnings on stderr. */
import type { LoadedImages } from '../use/images.ts'

/** A result on stdout: as one JSON line, or as text for people. */
export const answer = (json: boolean | undefined, value: object, text: string): void => {
  process.stdout.write(`${json === true ? JSON.stringify(value) : text}\n`)
}

/** A warning on stderr. */
export const warn = (text: string): void => {
  process.stderr.write(`warning: ${text}\n`)
}

/** Names the images that could not be read: on stdout for programs, else as warnings. */
export const tellSkipped = (json: boolean | undefined, skipped: LoadedImages['skipped']): void => {
  for (const { file, reason } of skipped) {
    if (json === true) answer(json, { event: 'skipped', file, reason }, '')
    else warn(`skipped ${file}: ${reason}`)
  }
}
