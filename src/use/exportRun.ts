/** @file A run as a model to hand on: averaged weights in half precision, configuration, figures and a card. */

import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { ConfigError, showConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { encodeWeights, halvedWeights } from '../model/exportedWeights.ts'
import { warnInProcess } from '../runs/checked.ts'
import { runFiles, runFolders } from '../runs/files.ts'
import { evaluationIn, provenanceIn, qualityIn } from '../runs/results.ts'
import { type RunInfo, stage1Of, weightsFile, writeRunInfo } from '../runs/runDirectory.ts'
import { openWriter } from '../runs/writer.ts'
import { openRun } from './openRun.ts'

/** What an export gave. */
export interface ExportedRun {
  readonly path: string
  readonly parameters: number
  readonly bytes: number
}

const figuresText = (dir: string, { video }: Config): string => {
  const evaluation = evaluationIn(dir)
  const quality = qualityIn(dir)
  const lines: string[] = []
  if (evaluation !== null) {
    const { psnr, bitsPerPixel, count } = evaluation
    lines.push(
      `- held-out ${video ? 'clips' : 'images'} (${count}): PSNR ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB, latent rate ${bitsPerPixel.mean.toFixed(3)} ± ${bitsPerPixel.error.toFixed(3)} bits/pixel`,
    )
  }
  if (quality !== null) {
    const { reconstruction, generation, protocol } = quality
    if (reconstruction !== null)
      lines.push(`- reconstructions: distance ${reconstruction.frechet.toFixed(2)}`)
    if (generation !== null) {
      const { frechet, kid, precision, recall } = generation
      lines.push(
        `- samples: distance ${frechet.toFixed(2)}, KID ${kid.mean.toFixed(4)}, precision ${precision.toFixed(2)}, recall ${recall.toFixed(2)}`,
      )
    }
    lines.push(...Object.entries(protocol).map(([name, text]) => `  - ${name}: ${text}`))
  }
  return lines.length === 0 ? 'Not measured.' : lines.join('\n')
}

const dataOfStage1 = (own: Config['data'], stage1: Config['data']): string =>
  isDeepStrictEqual(own, stage1)
    ? ''
    : `- encoder, prior and decoder were trained on other data: ${Object.entries(stage1)
        .map(([key, value]) => `${key} ${value}`)
        .join(', ')}
`

/** What a card says besides the configuration. */
interface CardFacts {
  readonly stage1Data: Config['data']
  /** Whether the run trained its own stage 1, so that its configuration is all there is to say. */
  readonly isWhole: boolean
  readonly trainCount: number
  readonly licence: string
  readonly figures: string
}

const decoderOf = ({ student }: Config): string =>
  student === undefined
    ? ''
    : `- decoder: takes ${student.steps} step${student.steps === 1 ? '' : 's'}, taught by the ${student.teacherSteps} of another (\`ul distill\`)
`

const cardOf = (
  config: Config,
  { stage1Data, isWhole, trainCount, licence, figures }: CardFacts,
): string => `# ${config.name}

Encoder, prior, decoder and base model of [Unified Latents](https://arxiv.org/abs/2602.17270), averaged weights in float16.

- licence: ${licence}
- data: ${config.data.source}, ${trainCount} training ${config.video ? `clips of ${config.data.frames} frames` : 'images'} of ${config.data.size}×${config.data.size}
${dataOfStage1(config.data, stage1Data)}- latent: ${config.latent.channels} channels, down-sampled ${config.latent.downsample} times${config.video ? `, in time ${config.video.downsample}` : ''}; loss factor ${config.decoder.lossFactor}, bias ${config.decoder.bias}
- stage 1: ${config.train.stage1.steps} steps of ${config.train.batch}; stage 2: ${config.train.stage2.steps} steps of ${config.train.stage2.batch}; seed ${config.seed}
${decoderOf(config)}- settings: [config.yaml](config.yaml)${isWhole ? `; trained by \`ul train config.yaml\`` : ''}

${figures}

\`ul sample\`, \`ul reconstruct\`, \`ul encode\`, \`ul decode\` and \`ul evaluate\` take this directory as they take a run.
`

/** Everything that an export writes. */
interface ExportedFiles {
  /** Contents by name; null where an earlier export's file goes. */
  readonly contents: ReadonlyMap<string, Uint8Array | string | null>
  readonly info: RunInfo
  readonly weights: Readonly<Record<string, HostTensor>>
}

/** @throws when anything of the run does not read */
const filesOf = (
  dir: string,
  runtime: Runtime,
  licence: string,
  warn: (text: string) => void,
): ExportedFiles => {
  const run = openRun(dir, runtime, warn)
  const weights = { ...run.autoencoder(), ...(run.hasBase ? run.base() : {}) }
  const { config: stage1Config } = stage1Of(dir, run.config)
  const config: Config = {
    ...run.config,
    // Of two optimisers' settings those that trained most of the model: stage 1's.
    train: {
      ...stage1Config.train,
      stage2: run.config.train.stage2,
      stage1: { ...stage1Config.train.stage1, from: null },
      ...(run.config.student && { stages: run.config.train.stages }),
    },
  }
  const card = cardOf(config, {
    stage1Data: stage1Config.data,
    isWhole: run.config.train.stage1.from === null,
    trainCount: run.info.trainCount,
    licence,
    figures: figuresText(dir, config),
  })
  provenanceIn(dir) // figures are checked as they are told, this is copied alone
  const copied = [runFiles.evaluation, runFiles.quality, runFiles.provenance].map((file) => {
    const from = join(dir, file)
    return [file, existsSync(from) ? readFileSync(from) : null] as const
  })
  return {
    contents: new Map<string, Uint8Array | string | null>([
      [runFiles.config, showConfig(config)],
      ...copied,
      ['README.md', card],
    ]),
    info: run.info,
    weights: halvedWeights(dir, weights),
  }
}

const written = (out: string, { contents, info, weights }: ExportedFiles): ExportedRun => {
  const path = join(out, weightsFile)
  // Written last: without weights nothing is an export, so that none is ever taken half old and half new.
  rmSync(path, { force: true })
  for (const [file, content] of contents) {
    if (content === null) rmSync(join(out, file), { force: true })
    else writeFileAtomic(join(out, file), content)
  }
  writeRunInfo(out, info)
  writeFileAtomic(path, encodeWeights(path, weights))
  const parameters = Object.values(weights).reduce((sum, { data }) => sum + data.length, 0)
  return { path, parameters, bytes: statSync(path).size }
}

/**
 * Writes a directory that opens like a run; an earlier export there is replaced once everything of the run was read.
 * @param licence of the weights, for the card
 * @param warn told when a checkpoint is damaged and an older one is used
 * @throws when the run's stage 1 was never saved, and when `out` holds a run that trains: its checkpoints would be hidden.
 */
export const exportRun = (
  dir: string,
  out: string,
  runtime: Runtime,
  licence = 'not stated',
  warn: (text: string) => void = warnInProcess,
): ExportedRun => {
  if (resolve(out) === resolve(dir) || existsSync(join(out, runFolders.checkpoints))) {
    throw new ConfigError(`${out}: it holds a run, which an export would overwrite; give another --out`)
  }
  const files = filesOf(dir, runtime, licence, warn)
  const lock = openWriter(out)
  try {
    return written(out, files)
  } finally {
    lock.release()
  }
}
