/** @file `ul studio`: runs in the browser, by a local server that loads nothing of what trains. */
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../config/load.ts'
import { inOneLine } from '../report/escape.ts'
import { ownPackage } from '../runs/provenance.ts'
import { openInBrowser } from './browser.ts'
import { untilInterrupted } from './exit.ts'
import { type AddCommand, example, option, wholeNumber } from './options.ts'
import { print, printJson, warn } from './print.ts'

interface StudioFlags {
  readonly port: number
  readonly host: string
  readonly runs?: string
  readonly open?: boolean
  readonly json?: boolean
}

/** Where runs lie that nobody said elsewhere. */
const usualFolder = 'runs'

/** The folder of runs; the usual one is made where there is none yet. @throws ConfigError when another is missing */
const folderOf = (given: string | undefined): string => {
  if (given === undefined && !existsSync(usualFolder)) mkdirSync(usualFolder)
  const folder = given ?? usualFolder
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new ConfigError(`--runs ${folder}: there is no such folder; give the one that runs lie below`)
  return folder
}

const isLocal = (host: string): boolean => ['127.0.0.1', '::1', 'localhost'].includes(host)

/** Why it cannot listen there, in one sentence. */
const listening = async <T>(address: string, open: () => Promise<T>): Promise<T> => {
  try {
    return await open()
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const reasons: Readonly<Record<string, string>> = {
      EADDRINUSE: 'another program listens there; give another --port, or 0 for any that is free',
      EACCES: 'that port is not permitted; give a --port above 1023',
      EADDRNOTAVAIL: 'this machine has no such address; give another --host',
      ENOTFOUND: 'there is no such name; give another --host',
    }
    if (code === undefined || !Object.hasOwn(reasons, code)) throw cause
    throw new ConfigError(`${address}: ${reasons[code]}`, { cause })
  }
}

const run = async ({ port, host, runs, open, json }: StudioFlags, signal: AbortSignal): Promise<void> => {
  const folder = folderOf(runs)
  const root = ownPackage()?.dir ?? '.'
  if (!isLocal(host))
    warn(
      `--host ${host}: everybody who reaches this address sees these runs, and with the page can start and stop training; use it in networks that you trust`,
    )
  const { openStudio } = await import('../studio/server.ts')
  const studio = await listening(`${host}:${port}`, () =>
    openStudio({
      ...{ runs: folder, host, port, warn },
      site: join(root, 'dist-site'),
      logThread: join(root, 'dist', 'studio', 'logThread.mjs'),
      start: [process.execPath, ...process.execArgv, join(root, 'bin', 'ul.mjs')],
    }),
  )
  const { url } = studio
  if (json === true)
    printJson({ event: 'listening', url, port: studio.port, token: studio.token, runs: folder })
  else print('stdout', `studio of ${inOneLine(folder)}: ${url}   (Ctrl-C ends it; trainers go on)\n`)
  if (open === true) openInBrowser(url)
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  await studio.close()
}

/** Adds `ul studio`. */
export const studioCommand: AddCommand = (program) => {
  program
    .command('studio')
    .description('runs in the browser: live curves, images, comparison, planning; starts and stops training')
    .option('--port <n>', 'port to listen on; 0 for any that is free', wholeNumber(0), 8910)
    .option('--host <address>', 'address to listen on; others than this machine see everything', '127.0.0.1')
    .option('--runs <dir>', `folder that runs lie below (default: ${usualFolder})`)
    .option('--open', 'open it in the browser: BROWSER, or what this system has')
    .addOption(option.json())
    .addHelpText('after', example('ul studio --open --runs runs/loss-factor'))
    .action((flags) => untilInterrupted((signal) => run(flags, signal)))
}
