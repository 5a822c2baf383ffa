/** @file A static server of folders for tests: on this machine alone, with the headers that let a page's threads share memory. */
import { createReadStream, existsSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
}

const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

/** A server that listens. */
export interface StaticServer {
  /** With a slash at its end. */
  readonly url: string
  close(): Promise<void>
}

/** How a server is started. */
export interface ServeOptions {
  /** Folders by the paths below which they are served: `/` and others, such as `/model/`. */
  readonly folders: Readonly<Record<string, string>>
  /** Whether pages are cross-origin isolated; true when absent. */
  readonly isIsolated?: boolean
}

/** Serves folders; a path that is a folder is its index.html. */
export const serveFolders = async ({ folders, isIsolated = true }: ServeOptions): Promise<StaticServer> => {
  const mounts = Object.entries(folders).sort(([a], [b]) => b.length - a.length)
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname)
    const [prefix, folder] = mounts.find(([mount]) => path.startsWith(mount)) ?? ['/', '']
    const asked = join(folder, normalize(`/${path.slice(prefix.length)}`))
    const file = existsSync(asked) && statSync(asked).isDirectory() ? join(asked, 'index.html') : asked
    if (folder === '' || !existsSync(file)) {
      response.writeHead(404).end()
      return
    }
    response.writeHead(200, {
      'Content-Type': types[extname(file)] ?? 'application/octet-stream',
      'Content-Length': statSync(file).size,
      'Cross-Origin-Resource-Policy': 'same-origin',
      ...(isIsolated ? isolation : {}),
    })
    createReadStream(file).pipe(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
