/** @file `ul studio` in a process of its own, for tests: started, killed, started again at the same address. */
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { startUl } from '../commands/ul.ts'

const site = fileURLToPath(new URL('../../dist-site/studio.html', import.meta.url))

/** What to say where the pages are not built; null where they are. */
export const siteLack: string | null = existsSync(site)
  ? null
  : `there is no ${site}; 'npm run build:site' makes it`

/** A studio that listens. */
export interface StudioProcess {
  /** Its address, with a slash at its end. */
  readonly url: string
  readonly port: number
  /** Ends it: SIGTERM as an init system does, SIGKILL as a full memory does. */
  end(signal: NodeJS.Signals): Promise<void>
}

/**
 * Starts a studio.
 * @param port 0 for any that is free
 * @throws what it said when it ended instead of listening
 */
export const startStudio = (runs: string, port = 0): Promise<StudioProcess> =>
  new Promise((resolve, reject) => {
    const ended = startUl(
      ['studio', '--json', '--port', `${port}`, '--runs', runs],
      (line: string, child: ChildProcess) => {
        const told = JSON.parse(line) as { event: string; url: string; port: number }
        if (told.event !== 'listening') return
        const end = async (signal: NodeJS.Signals): Promise<void> => {
          child.kill(signal)
          await ended
        }
        resolve({ url: told.url, port: told.port, end })
      },
    )
    ended.then(({ stderr }) => reject(new Error(`ul studio ended: ${stderr}`)), reject)
  })
