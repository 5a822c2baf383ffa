/** @file `ul report`: one page about finished runs. */
import { inOneLine } from '../report/escape.ts'
import { compareReport } from '../studies/compareReport.ts'
import { type AddCommand, example, option } from './options.ts'
import { expectFile, writeOutput } from './output.ts'
import { answer, print } from './print.ts'
import { readSweep } from './sources.ts'

interface ReportFlags {
  readonly out: string
  readonly csv?: string
  readonly png?: string
  readonly experiment?: string
  readonly json?: boolean
}

const run = async (dirs: string[], { experiment, json, ...flags }: ReportFlags): Promise<void> => {
  const written = { out: flags.out, csv: flags.csv, png: flags.png }
  for (const [option, path] of Object.entries(written)) expectFile(`--${option}`, path)
  const sweep = experiment === undefined ? null : readSweep(experiment)
  const { html, csv, png, text, rows } = await compareReport(dirs, sweep)
  writeOutput(written.out, html)
  writeOutput(written.csv, csv)
  writeOutput(written.png, png)
  answer(json, { event: 'done', rows, ...written }, text)
  const paths = Object.values(written).filter((path) => path !== undefined)
  if (json !== true) print('stderr', `written: ${inOneLine(paths.join(', '))}\n`)
}

/** Adds `ul report`. */
export const reportCommand: AddCommand = (program) => {
  program
    .command('report')
    .description(
      'one page about the finished runs below directories: table, curves, CSV; mean ± error over seeds',
    )
    .argument('<dir...>', 'directories of runs, or files of results (.jsonl, see ul results)')
    .option('--experiment <file.yaml>', 'title, findings and plots of an experiment')
    .option('--out <file>', 'HTML to write', 'comparison.html')
    .option('--csv <file>', 'CSV to write')
    .option('--png <file>', 'the curves as an image')
    .addOption(option.json())
    .addHelpText('after', example('ul report runs/rates --csv rates.csv'))
    .action(run)
}
