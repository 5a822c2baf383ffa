/** @file `ul doctor`: what this machine has for training and sampling, and what it lacks. */
import { Option } from 'commander'
import type { Finding } from '../doctor/check.ts'
import { probeDevice } from '../doctor/device.ts'
import { checksOf } from '../doctor/list.ts'
import type { Device } from '../engine/runtime/runtime.ts'
import { type AddCommand, example, option } from './options.ts'
import { answer, print } from './print.ts'

interface DoctorFlags {
  readonly json?: boolean
  readonly probe?: Device
}

const findingText = ({ about, state, text, remedy }: Finding): string =>
  `${state.padEnd(6)}  ${about}: ${text}${remedy === undefined ? '' : `\n        ${remedy}`}`

const run = async ({ json, probe }: DoctorFlags): Promise<void> => {
  if (probe !== undefined) return print('stdout', JSON.stringify(await probeDevice(probe)))
  const findings: Finding[] = []
  for (const check of checksOf(process.argv.slice(1, 2))) {
    for (const finding of await check.run()) {
      answer(json, { event: 'finding', ...finding }, findingText(finding))
      findings.push(finding)
    }
  }
  const faults = findings.filter(({ state }) => state === 'fault').map(({ about }) => about)
  answer(
    json,
    { event: 'done', faults },
    faults.length === 0 ? 'everything that is there works' : `broken: ${faults.join(', ')}`,
  )
  if (faults.length > 0)
    throw new Error(`${faults.join(', ')} should work and does not; what is said above tells why`)
}

/** Adds `ul doctor`. */
export const doctorCommand: AddCommand = (program) => {
  program
    .command('doctor')
    .description(
      'what this machine has: versions, devices with a product and a training step timed on each, drivers, CUDA, MPI, ffmpeg; and what is missing',
    )
    .addOption(option.json())
    .addOption(new Option('--probe <device>', 'try one device').choices(['cpu', 'webgpu', 'cuda']).hideHelp())
    .addHelpText('after', example('ul doctor --json'))
    .action(run)
}
