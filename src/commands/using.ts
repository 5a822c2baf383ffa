/** @file sample, reconstruct, encode, decode, evaluate and export: a trained run in  */

import { basename, extname, join } from 'node:path'
import { type Command, Option } from 'commander'
import { ConfigError } from '../config/load.ts'
import { countOf, examplesOf } from '../engine/host/tensor.ts'
import { NodeRuntime } from '../engine/runtime/node/runtime.ts'
import { inspectSafetensors } from '../files/safetensors.ts'
import { measureRun } from '../measure/measureRun.ts'
import { evaluate, reconstruct } from '../measure/reconstruct.ts'
import { latentOf } from '../method/config.ts'
import { partsOfVariant } from '../method/objective/variants.ts'
import { gridPng, pairGrid, visibleScale } from '../report/grid.ts'
import { rateMapsPng } from '../report/rateMaps.ts'
import { writeQuality } from '../runs/results.ts'
import { exportRun } from '../use/exportRun.ts'
import { choicesOf, factsNamed } from '../use/facts.ts'
import type { LoadedImages } from '../use/images.ts'
import { loadImages } from '../use/images.ts'
import { decodeFile, encodeToFile } from '../use/latentFiles.ts'
import { openRun } from '../use/openRun.ts'
import { sample } from '../use/sample.ts'
import { configGuidance, decoderSampler, latentSampler } from '../use/samplers.ts'
import { expectFile, expectFolder, makeFolderOf, writeOutput } from './output.ts'
import {
  answer,
  computeOption,
  type DeviceFlags,
  deviceOption,
  example,
  jsonOption,
  realNumber,
  runArgument,
  runDirectory,
  runtimeOf,
  seedOption,
  warn,
  wholeNumber,
} from './shared.ts'
import { evaluationText } from './show.ts'

interface SampleFlags extends DeviceFlags {
  readonly n: number
  readonly class?: string
  readonly guidance?: number
  readonly steps?: number
  readonly seed: number
  readonly out: string
  readonly json?: boolean
}

interface ReconstructFlags extends DeviceFlags {
  readonly steps?: number
  readonly seed: number
  readonly out?: string
  readonly maps?: string
  readonly json?: boolean
}

interface CodecFlags extends DeviceFlags {
  readonly seed: number
  readonly out: string
  readonly steps?: number
  readonly json?: boolean
}

interface ExportFlags {
  readonly out: string
  readonly licence?: string
  readonly json?: boolean
}

interface EvaluateFlags extends DeviceFlags {
  readonly samples?: number
  readonly features?: string
  readonly clip?: string | true
  readonly guidance?: number
  readonly bias: boolean
  readonly count: number
  readonly seed: number
  readonly json?: boolean
}

/** Names the images that could not be read: on stdout for programs, else as warnings. */
const tellSkipped = (json: boolean | undefined, skipped: LoadedImages['skipped']): void => {
  for (const { file, reason } of skipped) {
    if (json === true) answer(json, { event: 'skipped', file, reason }, '')
    else warn(`skipped ${file}: ${reason}`)
  }
}

/** @throws in one sentence when a file holds no tensors. */
const expectTensors = (file: string): void => {
  try {
    inspectSafetensors(file)
  } catch (cause) {
    throw new Error(`${(cause as Error).message}; give a file that 'ul encode' wrote`, { cause })
  }
}

/** Adds the commands. */
export const usingCommands = (program: Command): void => {
  program
    .command('sample')
    .description('generate images with a trained run')
    .argument('<run>', runArgument)
    .addOption(new Option('-n <n>', 'number of images').argParser(wholeNumber(1)).default(16))
    .option('--class <name>', "class to draw, or 'none'; all classes in turn when absent")
    .addOption(new Option('--guidance <g>', 'guidance scale; 1 is none').argParser(realNumber))
    .addOption(new Option('--steps <n>', 'steps of the latent chain').argParser(wholeNumber(1)))
    .addOption(seedOption())
    .option('--out <file>', 'PNG to write', 'samples.png')
    .addOption(deviceOption())
    .addOption(computeOption())
    .addOption(jsonOption())
    .addHelpText('after', example('ul sample runs/quickstart -n 32 --class "Food & Drink" --out food.png'))
    .action(async (dir: string, flags: SampleFlags) => {
      const run = openRun(runDirectory(dir), runtimeOf(flags), warn)
      expectFile('--out', flags.out)
      const { config } = run
      const choices =
        flags.class === undefined ? choicesOf(run).map(({ facts }) => facts) : [factsNamed(run, flags.class)]
      const facts = Array.from({ length: flags.n }, (_, i) => choices[i % choices.length] ?? null)
      const guidance = configGuidance(config)
      const sampler = latentSampler(config)
      const start = performance.now()
      const images = await sample(run, {
        facts,
        seed: flags.seed,
        sampler: { ...sampler, steps: flags.steps ?? sampler.steps },
        guidance: { ...guidance, scale: flags.guidance ?? guidance.scale },
        decoder: decoderSampler(config),
      })
      writeOutput(
        flags.out,
        await gridPng(images, Math.ceil(Math.sqrt(flags.n)), { scale: visibleScale(images) }),
      )
      const seconds = (performance.now() - start) / 1000
      answer(
        flags.json,
        { event: 'done', out: flags.out, count: flags.n, seconds },
        `${flags.n} images in ${seconds.toFixed(1)} s: ${flags.out}`,
      )
    })

  program
    .command('reconstruct')
    .description('encode and decode images; print PSNR and latent bits/pixel for each and overall')
    .argument('<run>', runArgument)
    .argument('<image or folder...>', 'images')
    .addOption(new Option('--steps <n>', 'decoder steps').argParser(wholeNumber(1)))
    .addOption(seedOption())
    .option('--out <file>', 'PNG with originals above reconstructions')
    .option('--maps <file>', 'PNG that also shows where the bits are: by latent position and by channel')
    .addOption(deviceOption())
    .addOption(computeOption())
    .addOption(jsonOption())
    .addHelpText('after', example('ul reconstruct runs/quickstart photos/ --out pairs.png'))
    .action(async (dir: string, paths: string[], flags: ReconstructFlags) => {
      const runtime = runtimeOf(flags)
      const run = openRun(runDirectory(dir), runtime, warn)
      expectFile('--out', flags.out)
      expectFile('--maps', flags.maps)
      const { files, images, skipped } = await loadImages(paths, run.config.data.size)
      tellSkipped(flags.json, skipped)
      const decoder = decoderSampler(run.config)
      const sampler = { ...decoder, steps: flags.steps ?? decoder.steps }
      const rates = flags.maps !== undefined
      const measured = await reconstruct(run, runtime, images, { seed: flags.seed, sampler, rates })
      const { figures, reconstructions, rateElements, psnrs, bitsPerPixel } = measured
      for (const [i, file] of files.entries()) {
        const [db, bits] = [psnrs[i]!, bitsPerPixel[i]!]
        answer(
          flags.json,
          { event: 'image', file, psnr: db, bitsPerPixel: bits },
          `${file}  ${db.toFixed(2)} dB  ${bits.toFixed(3)} bits/pixel`,
        )
      }
      if (flags.out !== undefined) {
        const options = { scale: visibleScale(images) }
        writeOutput(flags.out, await pairGrid(images, reconstructions, Math.min(8, files.length), options))
      }
      if (flags.maps !== undefined && rateElements !== null) {
        const { channels, height, width } = latentOf(run.model)
        const latent = [channels, height, width] as const
        const maps = { images, reconstructions, rateElements, latent }
        writeOutput(flags.maps, await rateMapsPng(maps, visibleScale(images, 96)))
      }
      const { psnr, bitsPerPixel: rate } = figures
      answer(
        flags.json,
        {
          event: 'done',
          count: files.length,
          skipped: skipped.length,
          psnr,
          bitsPerPixel: rate,
          out: flags.out,
          maps: flags.maps,
        },
        `overall (${files.length})  ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB  ${rate.mean.toFixed(3)} ± ${rate.error.toFixed(3)} bits/pixel`,
      )
    })

  program
    .command('encode')
    .description('write the latents of images to a safetensors file')
    .argument('<run>', runArgument)
    .argument('<image or folder...>', 'images')
    .requiredOption('--out <file>', 'safetensors to write: z (clean), z0 (with the fixed noise)')
    .addOption(seedOption())
    .addOption(deviceOption())
    .addOption(computeOption())
    .addOption(jsonOption())
    .addHelpText('after', example('ul encode runs/quickstart photos/ --out z.safetensors'))
    .action(async (dir: string, paths: string[], flags: CodecFlags) => {
      const run = openRun(runDirectory(dir), runtimeOf(flags), warn)
      expectFile('--out', flags.out)
      const images = await loadImages(paths, run.config.data.size)
      tellSkipped(flags.json, images.skipped)
      makeFolderOf(flags.out)
      await encodeToFile(run, images, flags.seed, flags.out)
      answer(
        flags.json,
        { event: 'done', count: images.files.length, out: flags.out },
        `${images.files.length} latents: ${flags.out}`,
      )
    })

  program
    .command('decode')
    .description('turn latents from a safetensors file into PNG files')
    .argument('<run>', runArgument)
    .argument('<latents>', 'safetensors written by ul encode')
    .requiredOption('--out <dir>', 'directory for the PNG files')
    .addOption(new Option('--steps <n>', 'decoder steps').argParser(wholeNumber(1)))
    .addOption(seedOption())
    .addOption(deviceOption())
    .addOption(computeOption())
    .addOption(jsonOption())
    .addHelpText('after', example('ul decode runs/quickstart z.safetensors --out decoded/'))
    .action(async (dir: string, file: string, flags: CodecFlags) => {
      const run = openRun(runDirectory(dir), runtimeOf(flags), warn)
      const decoder = decoderSampler(run.config)
      const sampler = { ...decoder, steps: flags.steps ?? decoder.steps }
      expectFolder('--out', flags.out)
      expectTensors(file)
      const { images, names } = await decodeFile(run, file, { seed: flags.seed, sampler })
      const count = countOf(images)
      for (let i = 0; i < count; i++) {
        const name = `${String(i).padStart(5, '0')}-${basename(names[i] ?? 'latent', extname(names[i] ?? ''))}.png`
        writeOutput(join(flags.out, name), await gridPng(examplesOf(images, i, 1), 1))
      }
      answer(flags.json, { event: 'done', count, out: flags.out }, `${count} images: ${flags.out}`)
    })

  program
    .command('evaluate')
    .description(
      'held-out PSNR, SSIM, bits/pixel with standard error, loss terms; with --samples also Fréchet distances of reconstructions and samples, KID, precision and recall',
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
    .addOption(new Option('--guidance <g>', 'guidance scale of the samples; 1 is none').argParser(realNumber))
    .option('--no-bias', 'do not fit what the small number of samples adds to distances')
    .addOption(seedOption())
    .addOption(deviceOption())
    .addOption(computeOption())
    .addOption(jsonOption())
    .addHelpText('after', example('ul evaluate runs/quickstart --json'))
    .action(async (dir: string, flags: EvaluateFlags) => {
      if (flags.clip !== undefined && flags.samples === undefined)
        throw new ConfigError(
          '--clip needs --samples N: so many images are reconstructed and generated for it',
        )
      const runtime = runtimeOf(flags)
      const directory = runDirectory(dir)
      const run = openRun(directory, runtime, warn)
      // First what may lack a network, so that this is said at once.
      const quality =
        flags.samples === undefined
          ? null
          : await measureRun(directory, runtime, {
              samples: flags.samples,
              seed: flags.seed,
              fitBias: flags.bias,
              ...(flags.features === undefined ? {} : { features: flags.features }),
              ...(flags.clip === undefined ? {} : { clip: flags.clip }),
              ...(flags.guidance === undefined ? {} : { guidance: flags.guidance }),
            })
      if (quality !== null && directory === dir) writeQuality(dir, quality, runtime.device)
      // Pixel diffusion has no latent to rate and nothing to reconstruct.
      const { isLearned } = partsOfVariant(run.config.variant).space
      const figures = !isLearned && quality !== null ? null : await evaluate(run, runtime, flags)
      answer(flags.json, { event: 'done', ...figures, ...quality }, evaluationText(figures, quality))
    })

  program
    .command('export')
    .description('write a run as a model to hand on: averaged float16 weights, settings, figures, a card')
    .argument('<run>', runArgument)
    .requiredOption(
      '--out <dir>',
      'directory to write; sample, reconstruct and the others take it like a run',
    )
    .option('--licence <text>', 'licence of the weights, for the card')
    .addOption(jsonOption())
    .addHelpText('after', example('ul export runs/mine --out models/mine --licence CC-BY-4.0'))
    .action((dir: string, flags: ExportFlags) => {
      expectFolder('--out', flags.out)
      const exported = exportRun(runDirectory(dir), flags.out, new NodeRuntime(), flags.licence)
      const { path, parameters, bytes } = exported
      answer(
        flags.json,
        { event: 'done', ...exported },
        `${(parameters / 1e6).toFixed(2)} M parameters, ${(bytes / 1e6).toFixed(1)} MB: ${path}`,
      )
    })
}
