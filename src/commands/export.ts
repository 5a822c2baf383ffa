/** @file `ul export`: a run as a model to hand on, for this program or as ONNX models for others. */
import { resolve } from 'node:path'
import { Option } from 'commander'
import { ConfigError } from '../config/load.ts'
import { NodeRuntime } from '../engine/runtime/node/runtime.ts'
import { exportOnnx, type OnnxOptions } from '../export/exportOnnx.ts'
import { exportRun } from '../use/exportRun.ts'
import { openRun } from '../use/openRun.ts'
import { type AddCommand, example, option } from './options.ts'
import { expectFolder } from './output.ts'
import { answer, warn } from './print.ts'
import { runArgument, runDirectory } from './sources.ts'

interface ExportFlags {
  readonly out?: string
  readonly onnx?: string
  readonly weights?: OnnxOptions['weights']
  readonly precision?: OnnxOptions['precision']
  readonly licence?: string
  readonly json?: boolean
}

/** @throws ConfigError when flags do not go together */
const expectFlags = ({ out, onnx, weights, precision }: ExportFlags): void => {
  if (out === undefined && onnx === undefined)
    throw new ConfigError(
      'export: give --out <dir> for a model that ul takes like a run, --onnx <dir> for ONNX models that others run, or both',
    )
  if (onnx === undefined && (weights ?? precision) !== undefined)
    throw new ConfigError(
      `--${weights === undefined ? 'precision' : 'weights'}: it says how ONNX models are written; name their folder by --onnx as well`,
    )
  if (out !== undefined && onnx !== undefined && resolve(out) === resolve(onnx))
    throw new ConfigError(`--onnx ${onnx}: --out is the same folder; give another, such as ${onnx}/onnx`)
  if (out !== undefined) expectFolder('--out', out)
  if (onnx !== undefined) expectFolder('--onnx', onnx)
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

const run = async (given: string, flags: ExportFlags): Promise<void> => {
  expectFlags(flags)
  const { out, onnx, weights = 'inside', precision = 'float32', licence, json } = flags
  const [dir, runtime] = [runDirectory(given), new NodeRuntime()]
  if (out !== undefined) {
    const exported = exportRun(dir, out, runtime, licence, warn)
    const { path, parameters, bytes } = exported
    answer(
      json,
      { event: 'done', ...exported },
      `${(parameters / 1e6).toFixed(2)} M parameters, ${megabytes(bytes)}: ${path}`,
    )
  }
  if (onnx !== undefined) {
    const options = { weights, precision, licence: licence ?? 'not stated' }
    const exported = await exportOnnx(openRun(dir, runtime, warn), dir, onnx, options)
    answer(
      json,
      { event: 'done', ...exported },
      `${exported.files.join(', ')}, ${megabytes(exported.bytes)}: ${onnx}`,
    )
  }
}

/** Adds `ul export`. */
export const exportCommand: AddCommand = (program) => {
  program
    .command('export')
    .description('write a run as a model to hand on: for ul itself, or as ONNX models for other programs')
    .argument('<run>', runArgument)
    .option(
      '--out <dir>',
      'directory for averaged float16 weights, settings, figures and a card; sample, reconstruct and the others take it like a run',
    )
    .option(
      '--onnx <dir>',
      'directory for ONNX models of any batch and model.json, with which others sample (docs/export.md)',
    )
    .addOption(
      new Option(
        '--weights <place>',
        'of ONNX models: inside their files, or in files beside them (default: inside)',
      ).choices(['inside', 'beside']),
    )
    .addOption(
      new Option('--precision <type>', 'as which ONNX models store weights (default: float32)').choices([
        'float32',
        'float16',
      ]),
    )
    .option('--licence <text>', 'licence of the weights, for the card and model.json')
    .addOption(option.json())
    .addHelpText(
      'after',
      example('ul export runs/mine --out models/mine --onnx models/mine/onnx --licence CC-BY-4.0'),
    )
    .action(run)
}
