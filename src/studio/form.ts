/** @file The form for a new run, and what is wrong with what was filled in. */
import { keyForms, typedValues } from '../config/keyForms.ts'
import { ConfigError, presetByName, settingErrors } from '../config/load.ts'
import { presets } from '../config/presets.ts'
import type { CheckAnswer, Form, StartRequest } from './api.ts'
import type { Commands } from './children.ts'
import type { RunsFolder } from './folder.ts'
import { Refused } from './refused.ts'

/** Every field, and the presets' values. */
export const runForm = (): Form => ({
  fields: keyForms,
  presets: Object.fromEntries(Object.entries(presets).map(([name, preset]) => [name, typedValues(preset)])),
})

/** What is wrong with a request by the schema alone, by key. */
export const schemaErrors = (
  folder: RunsFolder,
  { preset, set, run }: StartRequest,
): Record<string, string> => {
  const errors: Record<string, string> = {}
  try {
    folder.placeOf(run)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    errors.run = error.message
  }
  try {
    Object.assign(errors, settingErrors(presetByName(preset), set))
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    errors.preset = error.message
  }
  return errors
}

/** The same, and whether its values are possible together, as `ul train --dry-run` says. */
export const checkRequest = async (
  folder: RunsFolder,
  commands: Commands,
  request: StartRequest,
): Promise<CheckAnswer> => {
  const errors = schemaErrors(folder, request)
  if (Object.keys(errors).length > 0) return { errors }
  const { preset, set } = request
  const tried = await commands.run([
    'train',
    preset,
    ...set.map((setting) => `--set=${setting}`),
    '--dry-run',
  ])
  return { errors: tried.code === 0 ? {} : { '': tried.sentence } }
}
