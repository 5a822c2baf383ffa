/** @file results: what reports and plans read of many runs, in one file to keep. */
import type { Command } from 'commander'
import { findRuns } from '../runs/findRuns.ts'
import { commonDirectory, resultLines } from '../runs/resultLines.ts'
import { expectFile, writeOutput } from './output.ts'
import { answer, example, jsonOption } from './shared.ts'
import { readSweep } from './training.ts'

interface ResultsFlags {
  readonly out: string
  readonly experiment?: string
  readonly json?: boolean
}

/** Adds the command. */
export const resultsCommand = (program: Command): void => {
  program
    .command('results')
    .description(
      'settings and figures of runs as one file of JSON lines, which report and plan read like the runs',
    )
    .argument('<path...>', 'run directories, directories above them, or such files')
    .requiredOption('--out <file.jsonl>', 'file to write')
    .option('--experiment <file.yaml>', 'the sweep that made the runs: its arms and base models are named')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      example(
        'ul results runs/loss-factor --experiment experiments/loss-factor.yaml --out loss-factor.jsonl',
      ),
    )
    .action((paths: string[], { out, experiment, json }: ResultsFlags) => {
      expectFile('--out', out)
      const sweep = experiment === undefined ? null : readSweep(experiment)
      const runs = findRuns(paths)
      writeOutput(out, resultLines(runs, commonDirectory(paths), sweep))
      answer(json, { event: 'done', runs: runs.length, out }, `${runs.length} runs in ${out}`)
    })
}
