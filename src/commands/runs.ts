/** @file `ul runs`: which runs there are, how far they have come and what was measured. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { latestCheckpoint } from '../runs/checkpoint.ts'
import { findRuns } from '../runs/findRuns.ts'
import type { Run } from '../runs/run.ts'
import { weightsFile } from '../runs/runDirectory.ts'
import { trainingFlops } from '../stages/info.ts'
import { stageCalled, stages } from '../stages/list.ts'
import { type AddCommand, example, option } from './options.ts'
import { answer, warn } from './print.ts'

/** What is told of a run; a number is null where it was not measured. */
interface RunRow {
  readonly run: string
  readonly name: string
  /** Steps done of steps asked for, by stage; none for an exported run, and for a line of a file of results. */
  readonly progress: Readonly<Record<string, readonly [done: number, of: number]>>
  readonly exported: boolean
  readonly bitsPerPixel: number | null
  readonly psnr: number | null
  readonly rFD: number | null
  readonly gFD: number | null
  /** FLOPs of all steps of its base model, where they were asked for and it has one. */
  readonly baseFlops?: number | null
}

/** @throws when what the data gave does not read */
const baseFlopsOf = (run: Run): number | null => {
  const config = run.config()
  const base = stageCalled('stage2')
  return config.sampler.generator === 'base' && base.applies(config)
    ? trainingFlops(config, base, run.info().classes.length)
    : null
}

const progressOf = (run: Run): RunRow['progress'] => {
  if (!existsSync(run.path) || existsSync(join(run.path, weightsFile))) return {}
  const config = run.config()
  return Object.fromEntries(
    stages
      .filter((stage) => stage.trains(config))
      .map(({ name, settings }) => [
        name,
        [latestCheckpoint(run.path, name)?.step ?? 0, settings(config).steps],
      ]),
  )
}

/** @throws when a file of the run does not read */
const rowOf = (run: Run, flops: boolean): RunRow => {
  const [evaluation, quality] = [run.evaluation(), run.quality()]
  return {
    run: run.path,
    name: run.config().name,
    progress: progressOf(run),
    exported: existsSync(join(run.path, weightsFile)),
    bitsPerPixel: evaluation?.bitsPerPixel.mean ?? null,
    psnr: evaluation?.psnr.mean ?? null,
    rFD: quality?.reconstruction?.frechet ?? null,
    gFD: quality?.generation?.frechet ?? null,
    ...(flops && { baseFlops: baseFlopsOf(run) }),
  }
}

const cellsOf = ({ run, name, progress, exported, ...row }: RunRow): string[] => {
  const { bitsPerPixel, psnr, rFD, gFD, baseFlops } = row
  const show = (value: number | null, digits: number): string => value?.toFixed(digits) ?? '–'
  const steps = Object.entries(progress).map(([stage, [done, of]]) => `${stage} ${done}/${of}`)
  return [
    run,
    name,
    exported ? 'exported' : steps.join(', '),
    show(bitsPerPixel, 3),
    show(psnr, 2),
    show(rFD, 1),
    show(gFD, 1),
    ...(baseFlops === undefined ? [] : [baseFlops?.toPrecision(3) ?? '–']),
  ]
}

const runsText = (rows: readonly RunRow[], flops: boolean): string => {
  const head = ['run', 'name', 'steps', 'bits/pixel', 'PSNR', 'rFD', 'gFD', ...(flops ? ['base FLOPs'] : [])]
  const table = [head, ...rows.map(cellsOf)]
  const widths = table[0].map((_, column) => Math.max(...table.map((cells) => cells[column].length)))
  return table
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

interface RunsFlags {
  readonly flops?: boolean
  readonly json?: boolean
}

const run = (paths: string[], { flops = false, json }: RunsFlags): void => {
  const rows: RunRow[] = []
  for (const found of findRuns(paths)) {
    try {
      rows.push(rowOf(found, flops))
    } catch (cause) {
      warn((cause as Error).message)
    }
  }
  if (json === true) for (const row of rows) answer(json, { event: 'run', ...row }, '')
  else answer(json, {}, rows.length === 0 ? `no runs in ${paths.join(', ')}` : runsText(rows, flops))
}

/** Adds `ul runs`. */
export const runsCommand: AddCommand = (program) => {
  program
    .command('runs')
    .description('the runs below directories: how far each has come, and what was measured of it')
    .argument('[path...]', 'run directories, directories above them, or files of results (.jsonl)', ['runs'])
    .option('--flops', 'FLOPs of training the base model as well')
    .addOption(option.json())
    .addHelpText('after', example('ul runs runs/loss-factor'))
    .action(run)
}
