/** @file Names: of models on the Hub, and of the files that a model has there. All of them come from outside. */
import { ConfigError } from '../config/load.ts'
import { isOnnxFile } from '../export/exportOnnx.ts'
import { runFiles } from '../runs/files.ts'

/** @throws ConfigError when a name is not `owner/name` as the Hub has them */
export const expectModelName = (name: string): void => {
  const part = '[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?'
  if (new RegExp(`^${part}/${part}$`).test(name) && !/--|\.\./.test(name) && !name.endsWith('.git')) return
  throw new ConfigError(
    `${JSON.stringify(name)}: a model of the Hub is called owner/name, in letters, digits, '-', '_' and '.'; write it so`,
  )
}

/** Folder of a model's ONNX files, and the names of its sample pictures. */
export const onnxFolder = 'onnx'
export const samplesFile = { images: 'samples.png', clips: 'samples.webp' } as const

/** The card, which the Hub shows. */
export const cardFile = 'README.md'

/** Without these there is no model. */
export const neededFiles: readonly string[] = [runFiles.config, runFiles.info, runFiles.weights]

const plainFiles: ReadonlySet<string> = new Set([
  ...neededFiles,
  ...[runFiles.evaluation, runFiles.quality, runFiles.provenance, cardFile],
  ...Object.values(samplesFile),
])

/** Whether a path is of a file that `ul push` writes. */
export const isModelFile = (path: string): boolean =>
  plainFiles.has(path) || (path.startsWith(`${onnxFolder}/`) && isOnnxFile(path.slice(onnxFolder.length + 1)))

/**
 * Whether a path stays below the folder that it is put into, on every system: no way up, no root, no drive, no second kind of
 * slash, no name that a system reads otherwise.
 */
export const isSafePath = (path: string): boolean =>
  path.length > 0 &&
  path.length <= 1000 &&
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  !/[\\:\u0000-\u001f\u007f]/.test(path) &&
  path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !/[. ]$/.test(part))
