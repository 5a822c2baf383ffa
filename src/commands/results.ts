/** @file `ul results`: what reports and plans read of many runs, in one file to keep. */
import { findRuns } from '../runs/findRuns.ts'
import { commonDirectory, resultLines } from '../runs/resultLines.ts'
import { type AddCommand, example, option } from './options.ts'
import { expectFile, writeOutput } from './output.ts'
import { answer } from './print.ts'
import { readSweep } from './sources.ts'

interface ResultsFlags {
  readonly out: string
  readonly experiment?: string
  readonly json?: boolean
}

const run = (paths: string[], { out, experiment, json }: ResultsFlags): void => {
  expectFile('--out', out)
  const sweep = experiment === undefined ? null : readSweep(experiment)
  const runs = findRuns(paths)
  writeOutput(out, resultLines(runs, commonDirectory(paths), sweep))
  answer(json, { event: 'done', runs: runs.length, out }, `${runs.length} runs in ${out}`)
}

/** Adds `ul results`. */
export const resultsCommand: AddCommand = (program) => {
  program
    .command('results')
    .description(
      'settings and metrics of runs as one file of JSON lines, which report and plan read like the runs',
    )
    .argument('<path...>', 'run directories, directories above them, or such files')
    .requiredOption('--out <file.jsonl>', 'file to write')
    .option('--experiment <file.yaml>', 'the sweep that made the runs: its arms and base models are named')
    .addOption(option.json())
    .addHelpText(
      'after',
      example(
        'ul results runs/loss-factor --experiment experiments/loss-factor.yaml --out loss-factor.jsonl',
      ),
    )
    .action(run)
}
