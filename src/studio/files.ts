/** @file Files as answers. */
import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

/** Bytes of a file at most: the runtime of pages has 27 MB. */
const mostBytes = 2 ** 27

/** Types by the end of a file's name; files of others are not given out. */
export const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.wasm': 'application/wasm',
  '.onnx': 'application/octet-stream',
  '.bin': 'application/octet-stream',
  '.safetensors': 'application/octet-stream',
  '.yaml': 'text/plain; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.ico': 'image/x-icon',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
}

/**
 * A file, or that it has not changed; null where there is none that is given out.
 * @param known the tag that the asker has of it
 */
export const fileAnswer = async (
  path: string,
  type: string,
  known: string | null,
): Promise<Response | null> => {
  const info = statSync(path, { throwIfNoEntry: false })
  if (info?.isFile() !== true || info.size > mostBytes) return null
  const etag = `"${info.ino}-${info.size}-${info.mtimeMs}"`
  const headers = { etag, 'cache-control': 'no-cache', 'content-type': type }
  if (known === etag) return new Response(null, { status: 304, headers })
  return new Response(new Uint8Array(await readFile(path)), { headers })
}
