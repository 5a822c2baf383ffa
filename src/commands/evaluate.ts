/** @file `ul evaluate`: figures of a trained run on held-out images, and by features of what it makes. */
import { Option } from 'commander'
import { ConfigError } from '../config/load.ts'
import { leads } from '../distributed/collective.ts'
import { stoppable } from '../engine/runtime/stoppable.ts'
import { measureRun } from '../measure/measureRun.ts'
import { evaluate } from '../measure/reconstruct.ts'
import { partsOfVariant } from '../method/variants.ts'
import type { FeatureComparison } from '../metrics/compareFeatures.ts'
import {
  type ClipFigures,
  type ClipScore,
  type Evaluation,
  measuredEntries,
  type Quality,
} from '../metrics/figures.ts'
import { reconstructionMetrics } from '../metrics/reconstruction.ts'
import { onceEach } from '../runs/events.ts'
import { writeQuality } from '../runs/results.ts'
import { whileWriting } from '../runs/writer.ts'
import { openRun } from '../use/openRun.ts'
import { type AddCommand, example, option, wholeNumber } from './options.ts'
import { answer, warn } from './print.ts'
import { clipLines, terminalListener } from './progress.ts'
import { type DeviceFlags, runtimeOf } from './runtime.ts'
import { type Shared, whileShared } from './shared.ts'
import { runArgument, runDirectory } from './sources.ts'

const comparisonLine = (name: string, c: FeatureComparison): string =>
  `${name}  ${c.frechet.toFixed(3)}${c.bias === null ? '' : ` (of which the number of images adds about ${c.bias.toFixed(3)})`}` +
  `  KID ${c.kid.mean.toPrecision(3)} ± ${c.kid.error.toPrecision(2)}  precision ${c.precision.toFixed(3)}  recall ${c.recall.toFixed(3)}`

const clipScoreLines = ({ reconstructions, originals, samples, originalsByClass }: ClipFigures): string[] => {
  const score = (s: ClipScore | null): string =>
    s === null ? 'none' : `${s.mean.toFixed(2)} ± ${s.error.toFixed(2)} (${s.count})`
  const line = (name: string, here: ClipScore | null, there: ClipScore | null): string[] =>
    here === null ? [] : [`CLIP ${name}  ${score(here)}, originals ${score(there)}`]
  return [
    ...line('reconstructions by captions', reconstructions, originals),
    ...line('samples by class names', samples, originalsByClass),
  ]
}

/** Figures of `ul evaluate`, and by features where they were asked for. */
export const evaluationText = (figures: Evaluation | null, quality: Quality | null): string => {
  const entries = figures === null ? [] : measuredEntries(figures)
  const lines = entries.map(([name, value]) =>
    typeof value === 'number'
      ? `${name}  ${value.toPrecision(5)}`
      : `${name}  ${value.mean.toPrecision(5)} ± ${value.error.toPrecision(2)}`,
  )
  if (figures !== null) lines.push(...clipLines(figures))
  if (quality === null) return lines.join('\n')
  const { protocol, reconstruction, generation, clip } = quality
  const [name] = protocol.network.split(':') // its description starts with it
  if (reconstruction !== null) lines.push(comparisonLine(`reconstructions ${name}`, reconstruction))
  if (generation !== null) lines.push(comparisonLine(`samples ${name}`, generation))
  if (clip !== undefined) lines.push(...clipScoreLines(clip))
  const protocols = [
    ...Object.entries(protocol),
    ...Object.entries(clip?.protocol ?? {}).map(([name, text]) => [`CLIP ${name}`, text]),
  ]
  return [...lines, ...protocols.map(([name, text]) => `${name}: ${text}`)].join('\n')
}

interface EvaluateFlags extends DeviceFlags {
  readonly samples?: number
  readonly features?: string
  readonly clip?: string | true
  readonly guidance?: number
  readonly givenGuidance?: number
  readonly bias: boolean
  readonly count: number
  readonly seed: number
  readonly json?: boolean
}

const run = async (dir: string, flags: EvaluateFlags, { together, signal }: Shared): Promise<void> => {
  const { samples, features, clip, guidance, givenGuidance, bias: fitBias, seed } = flags
  if (clip !== undefined && samples === undefined)
    throw new ConfigError('--clip needs --samples N: so many images are reconstructed and generated for it')
  const runtime = stoppable(runtimeOf(flags), signal)
  const directory = runDirectory(dir)
  const tell = onceEach(warn)
  const opened = openRun(directory, runtime, tell)
  if (givenGuidance !== undefined && (opened.model.video === undefined || !opened.generates))
    throw new ConfigError(
      `--given-guidance ${givenGuidance}: ${dir} predicts no clips to guide by given frames; leave it out, or name a run of clips with a base model`,
    )
  const listen = terminalListener(flags.json === true)
  const measured = async (samples: number): Promise<Quality> => {
    const options = { samples, seed, fitBias, features, clip, guidance, together, signal, listen, warn: tell }
    // A model that comes with the package is left as it is.
    if (directory !== dir || !leads(together)) return measureRun(directory, runtime, options)
    return whileWriting(dir, async () => {
      const quality = await measureRun(directory, runtime, options)
      writeQuality(dir, quality, runtime.device, tell)
      return quality
    })
  }
  // First what may lack a network, so that this is said at once.
  const quality = samples === undefined ? null : await measured(samples)
  // Pixel diffusion has no latent to rate and nothing to reconstruct.
  const { isLearned } = partsOfVariant(opened.config.variant).space
  const figures =
    !isLearned && quality !== null
      ? null
      : await evaluate(directory, opened, runtime, {
          ...{ count: flags.count, seed, givenGuidance, together, signal },
          // what the data holds is said once
          ...(quality === null ? { listen } : {}),
        })
  answer(flags.json, { event: 'done', ...figures, ...quality }, evaluationText(figures, quality))
}

/** Adds `ul evaluate`. */
export const evaluateCommand: AddCommand = (program) => {
  program
    .command('evaluate')
    .description(
      `held-out ${reconstructionMetrics.map(({ name }) => name).join(', ')}, bits/pixel with standard error, loss terms; with --samples also Fréchet distances of reconstructions and samples, KID, precision and recall`,
    )
    .argument('<run>', runArgument)
    .addOption(new Option('--count <n>', 'validation images at most').argParser(wholeNumber(1)).default(1024))
    .addOption(
      new Option('--samples <n>', 'images to reconstruct and to generate for distances').argParser(
        wholeNumber(8),
      ),
    )
    .option(
      '--features <network>',
      'ONNX feature network with its JSON, or hub:dinov2, hub:<model id>, hub:<folder> (default: FD-mixed5, built when missing)',
    )
    .option(
      '--clip [model]',
      'with --samples: also CLIP scores by captions and class names (default ViT-B/32)',
    )
    .addOption(option.guidance(' of the samples'))
    .addOption(option.givenGuidance())
    .option('--no-bias', 'do not fit what the small number of samples adds to distances')
    .addOption(option.seed())
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .addOption(option.json())
    .addHelpText('after', example('ul evaluate runs/quickstart --json'))
    .action((dir, flags) => whileShared((shared) => run(dir, flags, shared)))
}
