/** @file `ul info`: what a run holds and costs, without training it. */
import { describeModel, type ModelInfo } from '../stages/info.ts'
import { type AddCommand, example, option } from './options.ts'
import { answer } from './print.ts'
import type { DeviceFlags } from './runtime.ts'
import { describedArgument, describedBy } from './sources.ts'

const infoText = (info: ModelInfo): string =>
  [
    `${info.name}: latent ${info.latentShape.join('×')} (${(1 / info.compression).toFixed(1)} times fewer numbers than the image)`,
    ...info.networks.map(
      ({ network, parameters, gflopsForward, gflopsTraining }) =>
        `  ${network.padEnd(8)} ${(parameters / 1e6).toFixed(2).padStart(8)} M parameters  ${gflopsForward.toFixed(3).padStart(10)} GFLOPs forward  ${gflopsTraining.toFixed(3).padStart(10)} training`,
    ),
    ...info.stages.map(
      ({ stage, batch, gflopsPerStep, stateBytes, intermediateBytes, residentBytes }) =>
        `  ${stage}: batch ${batch}, ${gflopsPerStep.toFixed(1)} GFLOPs per step, memory ${(residentBytes / 2 ** 30).toFixed(2)} GiB (state ${(stateBytes / 2 ** 30).toFixed(2)}, intermediate ${(intermediateBytes / 2 ** 30).toFixed(2)})`,
    ),
  ].join('\n')

interface InfoFlags extends Pick<DeviceFlags, 'device'> {
  readonly set: readonly string[]
  readonly json?: boolean
}

const run = (source: string, { set, json, device }: InfoFlags): void => {
  const { config, classes } = describedBy(source, set)
  const info = describeModel(config, classes, device)
  answer(json, { event: 'done', ...info }, infoText(info))
}

/** Adds `ul info`. */
export const infoCommand: AddCommand = (program) => {
  program
    .command('info')
    .description('parameters, GFLOPs, latent shape and memory of a run or preset')
    .argument(...describedArgument)
    .addOption(option.set())
    .addOption(option.device())
    .addOption(option.json())
    .addHelpText('after', example('ul info imagenet512 --set train.accumulate=64'))
    .action(run)
}
