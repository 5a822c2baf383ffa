/** @file A run as ONNX models with the recipe to sample from them: for programs that know nothing of this one. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../config/load.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { writeFolder } from '../files/folder.ts'
import { partsOfVariant } from '../method/variants.ts'
import { halvedWeights } from '../model/exportedWeights.ts'
import { evaluationIn } from '../runs/results.ts'
import type { OpenedRun } from '../use/openRun.ts'
import {
  type ExportedNetwork,
  exportedDecoder,
  exportedEncoder,
  exportedGenerator,
  type Keeping,
} from './networks.ts'
import { type Recipe, recipeOf } from './recipe.ts'

/** The file that says how the networks are used, and makes a folder an export. */
export const recipeFile = 'model.json'

/** How to export. */
export interface OnnxOptions {
  readonly weights: Keeping['weights']
  readonly precision: Recipe['precision']
  /** Of the weights. */
  readonly licence: string
}

/** What an export gave. */
export interface OnnxExport {
  readonly path: string
  /** Names of the files, the recipe last. */
  readonly files: readonly string[]
  readonly bytes: number
}

/** @throws ConfigError when a run has no networks of latents */
const expectNetworks = (run: OpenedRun, dir: string): void => {
  if (partsOfVariant(run.model.variant).space.isLearned) return
  throw new ConfigError(
    `${dir}: latents of this run are pixels (variant.encoder), so that it has neither encoder nor decoder to export as ONNX; export it with --out alone`,
  )
}

/** Whether a name is of a file that an export writes. */
export const isOnnxFile = (name: string): boolean =>
  name === recipeFile || /^(encoder|decoder_step|base_step)\.(onnx|weights)$/.test(name)

/** @throws ConfigError when a folder is anything but an earlier export */
const expectEarlierExport = (path: string): void => {
  const remedy = "it holds something else than what 'ul export --onnx' wrote; give another folder"
  const other = statSync(path).isDirectory() && readdirSync(path).find((name) => !isOnnxFile(name))
  if (other !== undefined) throw new ConfigError(`${path}${other === false ? '' : `/${other}`}: ${remedy}`)
}

/** Everything that is written: networks, and the recipe as text. */
const exportedRun = (
  run: OpenedRun,
  dir: string,
  { weights: place, precision, licence }: OnnxOptions,
): { readonly networks: readonly ExportedNetwork[]; readonly recipe: string } => {
  const autoencoder = run.autoencoder()
  const generates = run.generates
  const { generator } = run.config.sampler
  const generating = generates && generator === 'base' ? run.base() : autoencoder
  const half = precision === 'float16'
  const keeping: Keeping = {
    weights: place,
    ...(half && { halves: halvedWeights(dir, { ...autoencoder, ...(generates ? generating : {}) }) }),
  }
  const encoder = exportedEncoder(run.model, autoencoder, keeping)
  const decoder = exportedDecoder(run.model, autoencoder, keeping)
  const base = generates ? exportedGenerator(run.model, generating, generator, keeping) : null
  const evaluation = evaluationIn(dir)
  const recipe = recipeOf(run, {
    licence,
    precision,
    rate: evaluation && { bitsPerPixel: evaluation.bitsPerPixel, count: evaluation.count },
    encoder,
    decoder,
    base,
  })
  return {
    networks: [encoder, decoder, ...(base === null ? [] : [base])],
    recipe: `${JSON.stringify(recipe, null, 2)}\n`,
  }
}

/** Writes a network's files, and returns their names and bytes. */
const writeNetwork = (folder: string, { file, model }: ExportedNetwork): [name: string, bytes: number][] => {
  const { bytes, weights } = model
  writeFileAtomic(join(folder, file), bytes)
  if (weights === null) return [[file, bytes.length]]
  writeFileAtomic(join(folder, weights.file), [...weights.chunks()])
  return [
    [file, bytes.length],
    [weights.file, weights.bytes],
  ]
}

/**
 * Writes `encoder.onnx`, `decoder_step.onnx`, `base_step.onnx` where the run generates, and `model.json` into a folder, which is
 * there whole or not at all.
 * @param dir of the run
 * @throws ConfigError when the run's latents are pixels, or the folder holds something else; what openRun's weights throw
 */
export const exportOnnx = async (
  run: OpenedRun,
  dir: string,
  out: string,
  options: OnnxOptions,
): Promise<OnnxExport> => {
  expectNetworks(run, dir)
  const written = await writeFolder(
    out,
    (folder) => {
      const { networks, recipe } = exportedRun(run, dir, options)
      const files = networks.flatMap((network) => writeNetwork(folder, network))
      writeFileAtomic(join(folder, recipeFile), recipe)
      return [...files, [recipeFile, Buffer.byteLength(recipe)] as const]
    },
    expectEarlierExport,
  )
  return {
    path: out,
    files: written.map(([name]) => name),
    bytes: written.reduce((sum, [, bytes]) => sum + bytes, 0),
  }
}
