/** @file The JSON files of a run, read from the disk, and whom to warn of those that do not read. */
import { readFileSync } from 'node:fs'
import type { z } from 'zod'
import { parseChecked } from './checked.ts'

/** `parseChecked` of a file. */
export const readChecked = <T>(schema: z.ZodType<T>, file: string, remedy: string): T =>
  parseChecked(schema, readFileSync(file, 'utf8'), file, remedy)

/** For programs that do not say whom to warn: damage is never passed over in silence. */
export const warnInProcess = (text: string): void => process.emitWarning(text)
