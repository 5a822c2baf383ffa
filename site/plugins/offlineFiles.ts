/** @file Tells the service worker what the build has: every file by its path, with a hash of its content. */
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vite'

/** The entry of the build that becomes `service-worker.js`, whose name stays, as browsers ask for it again. */
export const serviceWorkerEntry: Readonly<Record<string, string>> = {
  'service-worker': fileURLToPath(new URL('../src/offline/serviceWorker.ts', import.meta.url)),
}
const built = 'service-worker.js'
/** What stands in the source of the service worker for the files. */
const placeholder = 'SITE_FILES'

const hashOf = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex')

/** Puts the files in the place of `SITE_FILES`. @throws Error where the service worker does not use that name */
export const offlineFiles = (): Plugin => ({
  name: 'offline-files',
  apply: 'build',
  enforce: 'post',
  generateBundle: {
    order: 'post',
    handler(_, bundle) {
      const files: Record<string, string> = {}
      for (const [name, file] of Object.entries(bundle)) {
        if (name !== built) files[name] = hashOf(file.type === 'chunk' ? file.code : file.source)
      }
      const worker = bundle[built]
      if (worker?.type !== 'chunk' || !worker.code.includes(placeholder))
        throw new Error(`${built} does not use ${placeholder}; it must know the files of the build`)
      worker.code = worker.code.replace(placeholder, () => JSON.stringify(files))
    },
  },
})
