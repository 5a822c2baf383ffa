/** @file `ul data`: what a data set holds. */
import { Option } from 'commander'
import { applySettings, presetByName } from '../config/load.ts'
import { dataSources, hasClips } from '../data/open.ts'
import { inOneLine, shortened } from '../report/escape.ts'
import { expectData } from '../stages/possible.ts'
import { type DataDescription, type DataOptions, describeData } from '../use/describeData.ts'
import { untilInterrupted } from './exit.ts'
import { type AddCommand, example, option, wholeNumber } from './options.ts'
import { expectFile, writeOutput } from './output.ts'
import { answer } from './print.ts'
import { terminalListener } from './progress.ts'
import { type DataCommand, loadConfig } from './sources.ts'

/** Classes printed at most, and characters of their names. */
const [classesShown, longestName] = [40, 60]

const dataText = (d: DataDescription): string => {
  const shown = d.classes
    .slice(0, classesShown)
    .map((own) => ({ ...own, name: inOneLine(shortened(own.name, longestName)) }))
  const width = Math.max(0, ...shown.map(({ name }) => name.length))
  const more = d.classes.length - shown.length
  return [
    `${d.source}${d.path === undefined ? '' : ` ${d.path}`}: ${d.train} training and ${d.validation} validation ${d.frames === 1 ? 'images' : `clips of ${d.frames} frames`}, ${d.size}×${d.size}`,
    d.classes.length === 0 ? '  no classes' : `  ${d.classes.length} classes (training, validation)`,
    ...shown.map(
      ({ name, train, validation }) =>
        `  ${name.padEnd(width)}  ${String(train).padStart(7)}  ${String(validation).padStart(7)}`,
    ),
    ...(more > 0 ? [`  … and ${more} more`] : []),
    ...(d.caption === '' ? [] : [`  caption of the first: ${inOneLine(d.caption)}`]),
    `  ${d.skipped} skipped`,
    ...d.firstSkipped.map(({ file, reason }) => `  skipped ${inOneLine(file)}: ${inOneLine(reason)}`),
    ...(d.skipped > d.firstSkipped.length ? [`  … and ${d.skipped - d.firstSkipped.length} more`] : []),
  ].join('\n')
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
/** Frames of a clip then. */
const lookedAtFrames = 16

/** How data is looked at. */
const lookAt: DataCommand = (source, path) => `ul data ${source} --path ${path}`

/** A source by its name, or the data of a configuration; changed by `--set`, and then by the other flags. */
const dataOf = (asked: string, flags: DataFlags): DataOptions => {
  const known = dataSources.find((name) => name === asked)
  const config = known === undefined ? loadConfig(asked, lookAt) : presetByName('quickstart')
  const named =
    known === undefined
      ? {}
      : { source: known, size: lookedAtSize, frames: hasClips(known) ? lookedAtFrames : 1 }
  const { data } = applySettings({ ...config, data: { ...config.data, ...named } }, flags.set)
  const { path = data.path, size = data.size } = flags
  expectData({ ...data, path, size })
  const { frames, stride, skinTones } = data
  return { source: data.source, path, size, frames, stride, skinTones }
}

const run = async (source: string, flags: DataFlags, signal: AbortSignal): Promise<void> => {
  const { json, out } = flags
  expectFile('--out', out)
  const listen = terminalListener(json === true)
  const { description, sheet } = await describeData({ ...dataOf(source, flags), signal }, listen)
  writeOutput(out, sheet)
  const wrote = out === undefined ? '' : `\n${out}`
  answer(json, { event: 'done', ...description, out }, `${dataText(description)}${wrote}`)
}

/** Adds `ul data`. */
export const dataCommand: AddCommand = (program) => {
  program
    .command('data')
    .description('what a data set holds: counts, classes, what is skipped, a contact sheet')
    .argument('<source or configuration>', `${dataSources.join(', ')}, a preset, or a configuration file`)
    .option('--path <path>', 'file or folder of the data')
    .addOption(new Option('--size <n>', 'height and width in pixels').argParser(wholeNumber(4)))
    .option('--out <file>', 'PNG to write: training images, a row for each class, or a clip of each')
    .addOption(option.set())
    .addOption(option.json())
    .addHelpText('after', example('ul data webdataset --path shards/ --out sheet.png'))
    .action((source, flags) => untilInterrupted((signal) => run(source, flags, signal)))
}
