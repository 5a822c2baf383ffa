#!/usr/bin/env node
/** @file The command line: `ul <command>`. Each command reads its options, calls one job and prints what it says. */
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { basename, extname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError, Option } from 'commander'
import { applySettings, ConfigError, parseConfig, presetByName, showConfig } from '../config/load.ts'
import { presets, smokeForm } from '../config/presets.ts'
import { type Config, dataSources } from '../config/schema.ts'
import { gridArms, parseSweep, type Sweep } from '../config/sweepFile.ts'
import { buildMixed5 } from '../features/mixed5.ts'
import { openFeatureNetwork } from '../features/network.ts'
import { floats } from '../host/tensor.ts'
import type { Compute } from '../ir/graph.ts'
import { compareReport } from '../jobs/compareReport.ts'
import { type DataOptions, describeData } from '../jobs/describeData.ts'
import { exportRun } from '../jobs/exportRun.ts'
import { describeModel } from '../jobs/info.ts'
import { openRun } from '../jobs/openRun.ts'
import { planRuns } from '../jobs/plan.ts'
import { profileStep } from '../jobs/profile.ts'
import { measureRun, runSweep, writeQuality } from '../jobs/sweep.ts'
import { type StageChoice, train } from '../jobs/train.ts'
import * as use from '../jobs/use.ts'
import { latentShape } from '../pipeline/stage1.ts'
import { writeFileAtomic } from '../run/atomic.ts'
import { gridPng, pairGrid } from '../run/picture.ts'
import { rateMapsPng } from '../run/rateMaps.ts'
import { readRunConfig, readRunInfo } from '../run/runDirectory.ts'
import { NodeRuntime } from '../runtime/node/runtime.ts'
import type { Device } from '../runtime/runtime.ts'
import { dataText, evaluationText, infoText, planText, profileText, terminalListener } from './show.ts'

/** Exit codes: bad usage or configuration, anything else, interrupted. */
const exitUsage = 2
const exitFailure = 1
const exitInterrupted = 130

const wholeNumber =
  (smallest: number) =>
  (text: string): number => {
    const n = Number(text)
    if (!Number.isInteger(n) || n < smallest)
      throw new InvalidArgumentError(`expected a whole number from ${smallest} on.`)
    return n
  }
const realNumber = (text: string): number => {
  const n = Number(text)
  if (text.trim() === '' || !Number.isFinite(n)) throw new InvalidArgumentError('expected a number.')
  return n
}
const positiveNumber = (text: string): number => {
  const n = realNumber(text)
  if (!(n > 0)) throw new InvalidArgumentError('expected a number above 0.')
  return n
}
/** Classes that data is taken to have before it is read: those of the best-known set of its kind. */
const assumedClasses: Readonly<Record<Config['data']['source'], number>> = {
  ...{ emoji: 9, cifar: 10, idx: 10 },
  ...{ folder: 1000, webdataset: 1000, parquet: 1000, npy: 1000 },
}
const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value]

const deviceOption = (): Option =>
  new Option('--device <device>', 'where to run').choices(['cpu', 'webgpu', 'cuda']).default('cpu')
const computeOption = (): Option =>
  new Option('--compute <type>', 'how products are computed; float16 on webgpu and cuda')
    .choices(['float32', 'float16'])
    .default('float32')
const seedOption = (): Option =>
  new Option('--seed <n>', 'seed of all noise').argParser(wholeNumber(0)).default(0)
const setOption = (): Option =>
  new Option('--set <key=value>', 'change one configuration key; may be repeated')
    .argParser(collect)
    .default([])
/** What a command is told about where and how to compute. */
interface DeviceFlags {
  readonly device: Device
  readonly compute: Compute
}
const runtimeOf = ({ device, compute }: DeviceFlags): NodeRuntime => new NodeRuntime({ device, compute })
const jsonOption = (): Option => new Option('--json', 'one JSON object per line on stdout')

const loadConfig = (source: string): Config => {
  const found = statSync(source, { throwIfNoEntry: false })
  if (Object.hasOwn(presets, source) || found === undefined || found.isDirectory())
    return presetByName(source)
  return parseConfig(readFileSync(source, 'utf8'), source)
}

/** Models that come with the package, by name. */
const pretrained = fileURLToPath(new URL('../../pretrained', import.meta.url))

/** The directory of a run, or of a model that comes with the package. */
const runDirectory = (given: string): string => {
  const shipped = join(pretrained, given)
  return !existsSync(given) && /^[\w-]+$/.test(given) && existsSync(shipped) ? shipped : given
}

/** A result as one JSON line, or as text for people. */
const answer = (json: boolean | undefined, value: object, text: string): void => {
  if (json === true) process.stdout.write(`${JSON.stringify(value)}\n`)
  else process.stderr.write(`${text}\n`)
}

const warn = (text: string): void => {
  process.stderr.write(`warning: ${text}\n`)
}

const example = (command: string): string => `\nExample:\n  ${command}`

const program = new Command('ul')
  .description('Unified Latents: train, measure and use image latents with a known bitrate.')
  .version('0.1.0')
  .showHelpAfterError()
  .exitOverride()

interface TrainFlags extends DeviceFlags {
  readonly out?: string
  readonly stage: StageChoice
  readonly steps?: number
  readonly set: readonly string[]
  readonly seed?: number
  readonly stage1From?: string
  readonly smoke?: boolean
  readonly dryRun?: boolean
  readonly json?: boolean
}

const resolveConfig = (source: string, flags: TrainFlags): Config => {
  const loaded = loadConfig(source)
  const steps =
    flags.steps === undefined
      ? []
      : [`train.stage1.steps=${flags.steps}`, `train.stage2.steps=${flags.steps}`]
  const seed = flags.seed === undefined ? [] : [`seed=${flags.seed}`]
  return applySettings(flags.smoke === true ? smokeForm(loaded) : loaded, [...steps, ...seed, ...flags.set])
}

program
  .command('train')
  .description('train a run and write its report; the same command again resumes it')
  .argument('<preset or file.yaml>', `${Object.keys(presets).join(', ')}, or a configuration file`)
  .option('--out <dir>', 'run directory (default runs/<name>)')
  .addOption(new Option('--stage <stage>', 'which stage').choices(['1', '2', 'all']).default('all'))
  .addOption(new Option('--steps <n>', 'steps of both stages').argParser(wholeNumber(1)))
  .addOption(setOption())
  .addOption(deviceOption())
  .addOption(computeOption())
  .addOption(new Option('--seed <n>', 'seed of weights, order and noise').argParser(wholeNumber(0)))
  .option('--stage1-from <run>', "use that run's stage 1 instead of training one")
  .option('--smoke', 'the same job shrunk to about a minute')
  .option('--dry-run', 'print the resolved configuration and stop')
  .addOption(jsonOption())
  .addHelpText('after', example('ul train quickstart --set decoder.lossFactor=2 --out runs/try'))
  .action(async (source: string, flags: TrainFlags) => {
    const asked = resolveConfig(source, flags)
    const dir = flags.out ?? join('runs', asked.name)
    const from = flags.stage1From && relative(dir, flags.stage1From)
    const config =
      from === undefined ? asked : applySettings(asked, [`train.stage1.from=${JSON.stringify(from)}`])
    if (flags.dryRun === true) {
      process.stdout.write(showConfig(config))
      return
    }
    const abort = new AbortController()
    const stop = (): void => abort.abort()
    process.once('SIGINT', stop).once('SIGTERM', stop)
    const { finished } = await train({
      config,
      dir,
      stage: flags.stage,
      runtime: runtimeOf(flags),
      listen: terminalListener(flags.json === true),
      signal: abort.signal,
    })
    if (!finished) process.exitCode = exitInterrupted
  })

interface SampleFlags extends DeviceFlags {
  readonly n: number
  readonly class?: string
  readonly guidance?: number
  readonly steps?: number
  readonly seed: number
  readonly out: string
  readonly json?: boolean
}

program
  .command('sample')
  .description('generate pictures with a trained run')
  .argument('<run>', 'run directory, or a model that comes with the package')
  .addOption(new Option('-n <n>', 'number of pictures').argParser(wholeNumber(1)).default(16))
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
    const { config } = run
    const classes = run.info.classes.length
    const fixed = flags.class === undefined ? (classes === 0 ? 0 : undefined) : use.labelOf(run, flags.class)
    const labels = Int32Array.from({ length: flags.n }, (_, i) => fixed ?? i % classes)
    const guidance = use.configGuidance(config)
    const sampler = use.latentSampler(config)
    const start = performance.now()
    const pictures = await use.sample(run, labels, {
      seed: flags.seed,
      sampler: { ...sampler, steps: flags.steps ?? sampler.steps },
      guidance: { ...guidance, scale: flags.guidance ?? guidance.scale },
      decoder: use.decoderSampler(config),
    })
    const scale = Math.max(1, Math.round(64 / config.data.size))
    writeFileAtomic(flags.out, await gridPng(pictures, Math.ceil(Math.sqrt(flags.n)), { scale }))
    const seconds = (performance.now() - start) / 1000
    answer(
      flags.json,
      { event: 'done', out: flags.out, count: flags.n, seconds },
      `${flags.n} pictures in ${seconds.toFixed(1)} s: ${flags.out}`,
    )
  })

interface ReconstructFlags extends DeviceFlags {
  readonly steps?: number
  readonly seed: number
  readonly out?: string
  readonly maps?: string
  readonly json?: boolean
}

program
  .command('reconstruct')
  .description('encode and decode pictures; print PSNR and latent bits/pixel for each and overall')
  .argument('<run>', 'run directory, or a model that comes with the package')
  .argument('<image or folder...>', 'pictures')
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
    const { files, images, skipped } = await use.loadPictures(paths, run.config.data.size)
    for (const { file, reason } of skipped)
      answer(flags.json, { event: 'skipped', file, reason }, `skipped ${file}: ${reason}`)
    const decoder = use.decoderSampler(run.config)
    const sampler = { ...decoder, steps: flags.steps ?? decoder.steps }
    const measured = await use.reconstruct(run, runtime, images, { seed: flags.seed, sampler })
    const { figures, reconstructions, psnrs, bitsPerPixel } = measured
    for (const [i, file] of files.entries()) {
      const [db, bits] = [psnrs[i]!, bitsPerPixel[i]!]
      answer(
        flags.json,
        { event: 'picture', file, psnr: db, bitsPerPixel: bits },
        `${file}  ${db.toFixed(2)} dB  ${bits.toFixed(3)} bits/pixel`,
      )
    }
    if (flags.out !== undefined) {
      const shape = [files.length, 3, run.config.data.size, run.config.data.size]
      const pair = [images, reconstructions].map((data) => ({ dtype: 'float32' as const, shape, data }))
      const scale = Math.max(1, Math.round(64 / run.config.data.size))
      writeFileAtomic(flags.out, await pairGrid(pair[0]!, pair[1]!, Math.min(8, files.length), { scale }))
    }
    if (flags.maps !== undefined) {
      const { size } = run.config.data
      const [, c, h, w] = latentShape(run.model, 1) as [number, number, number, number]
      const maps = {
        images,
        reconstructions,
        rateElements: measured.rateElements,
        size,
        latent: [c, h, w] as const,
      }
      writeFileAtomic(flags.maps, await rateMapsPng(maps, Math.max(1, Math.round(96 / size))))
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

interface CodecFlags extends DeviceFlags {
  readonly seed: number
  readonly out: string
  readonly steps?: number
  readonly json?: boolean
}

program
  .command('encode')
  .description('write the latents of pictures to a safetensors file')
  .argument('<run>', 'run directory, or a model that comes with the package')
  .argument('<image or folder...>', 'pictures')
  .requiredOption('--out <file>', 'safetensors to write: z (clean), z0 (with the fixed noise)')
  .addOption(seedOption())
  .addOption(deviceOption())
  .addOption(computeOption())
  .addOption(jsonOption())
  .addHelpText('after', example('ul encode runs/quickstart photos/ --out z.safetensors'))
  .action(async (dir: string, paths: string[], flags: CodecFlags) => {
    const run = openRun(runDirectory(dir), runtimeOf(flags), warn)
    const pictures = await use.loadPictures(paths, run.config.data.size)
    for (const { file, reason } of pictures.skipped)
      answer(flags.json, { event: 'skipped', file, reason }, `skipped ${file}: ${reason}`)
    await use.encodeToFile(run, pictures, flags.seed, flags.out)
    answer(
      flags.json,
      { event: 'done', count: pictures.files.length, out: flags.out },
      `${pictures.files.length} latents: ${flags.out}`,
    )
  })

program
  .command('decode')
  .description('turn latents from a safetensors file into PNG files')
  .argument('<run>', 'run directory, or a model that comes with the package')
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
    const decoder = use.decoderSampler(run.config)
    const sampler = { ...decoder, steps: flags.steps ?? decoder.steps }
    const { pictures, names } = await use.decodeFile(run, file, { seed: flags.seed, sampler })
    const { size } = run.config.data
    const each = 3 * size ** 2
    mkdirSync(flags.out, { recursive: true })
    const count = pictures.shape[0]!
    for (let i = 0; i < count; i++) {
      const name = `${String(i).padStart(5, '0')}-${basename(names[i] ?? 'latent', extname(names[i] ?? ''))}.png`
      const data = floats(pictures).subarray(i * each, (i + 1) * each)
      writeFileAtomic(
        join(flags.out, name),
        await gridPng({ dtype: 'float32', shape: [1, 3, size, size], data }, 1),
      )
    }
    answer(flags.json, { event: 'done', count, out: flags.out }, `${count} pictures: ${flags.out}`)
  })

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

program
  .command('evaluate')
  .description(
    'held-out PSNR, SSIM, bits/pixel with standard error, loss terms; with --samples also Fréchet distances of reconstructions and samples, KID, precision and recall',
  )
  .argument('<run>', 'run directory, or a model that comes with the package')
  .addOption(new Option('--count <n>', 'validation pictures at most').argParser(wholeNumber(1)).default(1024))
  .addOption(
    new Option('--samples <n>', 'pictures to reconstruct and to generate for distances').argParser(
      wholeNumber(8),
    ),
  )
  .option(
    '--features <network>',
    'ONNX feature network with its JSON, or hub:dinov2, hub:<model id>, hub:<folder> (default: FD-mixed5, built when missing)',
  )
  .option('--clip [model]', 'with --samples: also CLIP scores by captions and class names (default ViT-B/32)')
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
        '--clip needs --samples N: so many pictures are reconstructed and generated for it',
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
    if (quality !== null && directory === dir) writeQuality(dir, quality)
    const figures = await use.evaluate(run, runtime, flags)
    answer(flags.json, { event: 'done', ...figures, ...quality }, evaluationText(figures, quality))
  })

program
  .command('export')
  .description('write a run as a model to hand on: averaged float16 weights, settings, figures, a card')
  .argument('<run>', 'run directory, or a model that comes with the package')
  .requiredOption('--out <dir>', 'directory to write; sample, reconstruct and the others take it like a run')
  .addOption(jsonOption())
  .addHelpText('after', example('ul export runs/mine --out models/mine'))
  .action((dir: string, flags: { readonly out: string; readonly json?: boolean }) => {
    const exported = exportRun(dir, flags.out, new NodeRuntime())
    const { path, parameters, bytes } = exported
    answer(
      flags.json,
      { event: 'done', ...exported },
      `${(parameters / 1e6).toFixed(2)} M parameters, ${(bytes / 1e6).toFixed(1)} MB: ${path}`,
    )
  })

interface SweepFlags extends DeviceFlags {
  readonly grid: readonly string[]
  readonly seeds?: number
  readonly samples?: number
  readonly set: readonly string[]
  readonly features?: string
  readonly out?: string
  readonly json?: boolean
}

/** Reads a sweep from a file. @throws ConfigError when there is none. */
const readSweep = (path: string): Sweep => {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
    throw new ConfigError(`${path}: there is no such file; give one like those in experiments/`)
  return parseSweep(readFileSync(path, 'utf8'), path)
}

/** A sweep from a file of one (with arms), or from a preset and a grid. */
const loadSweep = (source: string, { grid, seeds, samples, set }: SweepFlags): Sweep => {
  const file = !Object.hasOwn(presets, source) && grid.length === 0
  const written = file
    ? readSweep(source)
    : {
        title: source,
        preset: source,
        set: [],
        seeds: 1,
        samples: 1024,
        arms: gridArms(grid),
        bases: [],
        plots: [],
      }
  return {
    ...written,
    set: [...written.set, ...set],
    seeds: seeds ?? written.seeds,
    samples: samples ?? written.samples,
  }
}

program
  .command('sweep')
  .description('train and measure a grid of runs, one directory each; the same command again goes on')
  .argument('<experiment.yaml or preset>', 'a file with arms (see experiments/), or what --grid varies')
  .addOption(
    new Option('--grid <key=v1,v2>', 'values of one key; may be repeated').argParser(collect).default([]),
  )
  .addOption(new Option('--seeds <n>', 'runs of each setting').argParser(wholeNumber(1)))
  .addOption(new Option('--samples <n>', 'pictures for distances').argParser(wholeNumber(8)))
  .addOption(setOption())
  .option('--features <network>', 'ONNX feature network with its JSON, or hub:<model> (default: FD-mixed5)')
  .option('--out <dir>', 'directory of the runs (default runs/<name>)')
  .addOption(deviceOption())
  .addOption(computeOption())
  .addOption(jsonOption())
  .addHelpText(
    'after',
    example('ul sweep study --grid decoder.lossFactor=1.5,2,3,4 --seeds 3 --out runs/rates'),
  )
  .action(async (source: string, flags: SweepFlags) => {
    const sweep = loadSweep(source, flags)
    const abort = new AbortController()
    const stop = (): void => abort.abort()
    process.once('SIGINT', stop).once('SIGTERM', stop)
    const dir = flags.out ?? join('runs', basename(source, extname(source)))
    const finished = await runSweep({
      sweep,
      config: loadConfig(sweep.preset),
      dir,
      runtime: runtimeOf(flags),
      listen: terminalListener(flags.json === true),
      signal: abort.signal,
      ...(flags.features === undefined ? {} : { features: flags.features }),
    })
    if (!finished) process.exitCode = exitInterrupted
  })

interface ReportFlags {
  readonly out: string
  readonly csv?: string
  readonly png?: string
  readonly experiment?: string
}

program
  .command('report')
  .description(
    'one page about the finished runs below directories: table, curves, CSV; mean ± error over seeds',
  )
  .argument('<dir...>', 'directories of runs')
  .option('--experiment <file.yaml>', 'title, findings and plots of an experiment')
  .option('--out <file>', 'HTML to write', 'comparison.html')
  .option('--csv <file>', 'CSV to write')
  .option('--png <file>', 'the curves as a picture')
  .addHelpText('after', example('ul report runs/rates --csv rates.csv'))
  .action(async (dirs: string[], flags: ReportFlags) => {
    const { experiment } = flags
    const sweep = experiment === undefined ? null : readSweep(experiment)
    const { html, csv, png, text } = await compareReport(dirs, sweep)
    writeFileAtomic(flags.out, html)
    if (flags.csv !== undefined) writeFileAtomic(flags.csv, csv)
    if (flags.png !== undefined) writeFileAtomic(flags.png, png)
    process.stdout.write(`${text}\n`)
  })

/** Configuration of a run, preset or file, and how many classes its data has or is taken to have. */
const describedBy = (
  source: string,
  set: readonly string[],
): { readonly config: Config; readonly classes: number } => {
  const isRun = existsSync(join(source, 'config.yaml'))
  const config = applySettings(isRun ? readRunConfig(source) : loadConfig(source), set)
  const assumed = assumedClasses[config.data.source]
  return { config, classes: isRun ? readRunInfo(source).classes.length : assumed }
}

interface DataFlags {
  readonly path?: string
  readonly size?: number
  readonly out?: string
  readonly set: readonly string[]
  readonly json?: boolean
}

/** Height and width at which a data set is looked at when no configuration says. */
const lookedAtSize = 64

/** A source by its name, or the data of a configuration. */
const dataOf = (source: string, flags: DataFlags): DataOptions => {
  const known = dataSources.find((name) => name === source)
  if (known !== undefined) return { source: known, path: flags.path, size: flags.size ?? lookedAtSize }
  const { data } = applySettings(loadConfig(source), flags.set)
  const { path, size, skinTones } = data
  return { source: data.source, path: flags.path ?? path, size: flags.size ?? size, skinTones }
}

program
  .command('data')
  .description('what a data set holds: counts, classes, what is skipped, a contact sheet')
  .argument('<source or configuration>', `${dataSources.join(', ')}, a preset, or a configuration file`)
  .option('--path <path>', 'file or folder of the data')
  .addOption(new Option('--size <n>', 'height and width in pixels').argParser(wholeNumber(4)))
  .option('--out <file>', 'PNG to write: training pictures, a row for each class')
  .addOption(setOption())
  .addOption(jsonOption())
  .addHelpText('after', example('ul data webdataset --path shards/ --out sheet.png'))
  .action(async (source: string, flags: DataFlags) => {
    const listen = terminalListener(flags.json === true)
    const { description, sheet } = await describeData(dataOf(source, flags), listen)
    if (flags.out !== undefined) writeFileAtomic(flags.out, sheet)
    const wrote = flags.out === undefined ? '' : `\n${flags.out}`
    answer(flags.json, { event: 'done', ...description, out: flags.out }, `${dataText(description)}${wrote}`)
  })

interface ProfileFlags extends DeviceFlags {
  readonly stage: '1' | '2'
  readonly steps: number
  readonly set: readonly string[]
  readonly json?: boolean
}

program
  .command('info')
  .description('parameters, GFLOPs, latent shape and memory of a run or preset')
  .argument('<run or preset>', 'run directory, preset, or configuration file')
  .addOption(setOption())
  .addOption(jsonOption())
  .addHelpText('after', example('ul info imagenet512 --set train.batch=1'))
  .action((source: string, flags: { readonly set: readonly string[]; readonly json?: boolean }) => {
    const { config, classes } = describedBy(source, flags.set)
    const info = describeModel(config, classes)
    answer(flags.json, { event: 'done', ...info }, infoText(info))
  })

program
  .command('profile')
  .description("where a training step spends its time: by operator, by layer, and by the graph's ops")
  .argument('<run or preset>', 'run directory, preset, or configuration file')
  .addOption(new Option('--stage <stage>', 'which stage').choices(['1', '2']).default('1'))
  .addOption(new Option('--steps <n>', 'steps to average over').argParser(wholeNumber(1)).default(5))
  .addOption(setOption())
  .addOption(deviceOption())
  .addOption(computeOption())
  .addOption(jsonOption())
  .addHelpText('after', example('ul profile quickstart --stage 2'))
  .action(async (source: string, flags: ProfileFlags) => {
    const { config, classes } = describedBy(source, flags.set)
    const runtime = runtimeOf(flags)
    const profile = await profileStep(runtime, config, flags.stage, classes, flags.steps)
    answer(flags.json, { event: 'done', ...profile }, profileText(profile))
  })

interface PlanFlags {
  readonly bitsPerPixel?: number
  readonly bias?: number
  readonly lossFactor?: number
  readonly budget?: number
  readonly check?: readonly string[]
  readonly json?: boolean
}

program
  .command('plan')
  .description('fit the law of the rate to finished runs, and find the setting for a wanted rate')
  .argument('<dir...>', 'run directories, or directories above them')
  .addOption(new Option('--bits-per-pixel <R>', 'the wanted rate').argParser(positiveNumber))
  .addOption(
    new Option('--bias <b>', "decoder.bias to keep (default: the runs' usual one)").argParser(realNumber),
  )
  .addOption(
    new Option('--loss-factor <c>', 'decoder.lossFactor to keep; the bias is planned').argParser(realNumber),
  )
  .addOption(
    new Option('--budget <FLOPs>', 'plan the best rate for a base model of so many training FLOPs').argParser(
      positiveNumber,
    ),
  )
  .option('--check <dir...>', 'predict these runs and compare; they are left out of the fit')
  .addOption(jsonOption())
  .addHelpText('after', example('ul plan runs/ --bits-per-pixel 0.3 --check runs/try'))
  .action((dirs: string[], { json, ...flags }: PlanFlags) => {
    const plan = planRuns({ dirs, ...flags })
    answer(json, { event: 'done', ...plan }, planText(plan))
  })

program
  .command('features')
  .description('feature networks for Fréchet distances')
  .addHelpText('after', example('ul features build'))
  .command('build')
  .description('write FD-mixed5 (Inception v3 up to mixed5) out of the installed package nsfwjs')
  .option('--out <file.onnx>', 'ONNX file to write, its description beside it (default in the cache folder)')
  .addOption(jsonOption())
  .addHelpText('after', example('ul features build --out mixed5.onnx'))
  .action(async (flags: { readonly out?: string; readonly json?: boolean }) => {
    const out = buildMixed5(flags.out)
    const network = await openFeatureNetwork(out)
    const { name, dimension } = network
    answer(flags.json, { event: 'done', out, name, dimension }, `${out}\n${network.describe()}`)
    await network.dispose()
  })

const fail = (error: unknown): void => {
  // Commander has already printed its own message (help and version end with code 0).
  if (typeof error === 'object' && error !== null && 'exitCode' in error && 'code' in error) {
    process.exitCode = error.exitCode === 0 ? 0 : exitUsage
    return
  }
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`ul: ${message}\n`)
  if (process.env.UL_DEBUG !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  process.exitCode = error instanceof ConfigError ? exitUsage : exitFailure
}

program.parseAsync().catch(fail)
