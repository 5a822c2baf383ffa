/** @file The command line: `ul <command>`. A new command is a file of its own and a line in the list below. */
import { dataCommand } from './data.ts'
import { decodeCommand } from './decode.ts'
import { distillCommand } from './distill.ts'
import { doctorCommand } from './doctor.ts'
import { encodeCommand } from './encode.ts'
import { evaluateCommand } from './evaluate.ts'
import { exportCommand } from './export.ts'
import { featuresCommand } from './features.ts'
import { infoCommand } from './info.ts'
import { commandLine } from './line.ts'
import type { AddCommand } from './options.ts'
import { planCommand } from './plan.ts'
import { profileCommand } from './profile.ts'
import { pullCommand } from './pull.ts'
import { pushCommand } from './push.ts'
import { reconstructCommand } from './reconstruct.ts'
import { reportCommand } from './report.ts'
import { resultsCommand } from './results.ts'
import { runsCommand } from './runs.ts'
import { sampleCommand } from './sample.ts'
import { studioCommand } from './studio.ts'
import { sweepCommand } from './sweep.ts'
import { trainCommand } from './train.ts'

/** Every command, in the order in which help names them. */
const commands: readonly AddCommand[] = [
  trainCommand,
  distillCommand,
  sweepCommand,
  runsCommand,
  reportCommand,
  resultsCommand,
  planCommand,
  studioCommand,
  sampleCommand,
  reconstructCommand,
  encodeCommand,
  decodeCommand,
  evaluateCommand,
  exportCommand,
  pushCommand,
  pullCommand,
  dataCommand,
  infoCommand,
  profileCommand,
  featuresCommand,
  doctorCommand,
]

/** Does what a command line asks for: see commandLine. @param args what comes after `ul` */
export const runCommandLine = (args: readonly string[]): Promise<number> => commandLine(commands, args)
