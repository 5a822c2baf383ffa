/** @file Reads the files of a model wherever they are: on the server with progress, in a folder, in a zip archive. */
import { type ReadFile, runFiles } from 'unified-latents/web'
import type { Live, ModelSource } from './protocol.ts'

/** What a model is opened from. */
const wanted: readonly string[] = [runFiles.config, runFiles.info, runFiles.weights]

/** Bytes of a zip archive's entry at most: more is no model for a page. */
const mostBytes = 2 ** 30

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** Fetches a file, telling how much of it is there. @returns null where the server has none */
const fetched = async (
  url: string,
  name: string,
  { signal, live }: { readonly signal: AbortSignal; readonly live: (live: Live) => void },
): Promise<Uint8Array | null> => {
  const failed = (what: string, cause: Error): Error =>
    signal.aborted ? cause : new Error(`${name}: ${what} (${cause.message}); check the network and try again`)
  const response = await fetch(url, { signal }).catch((cause: Error) => {
    throw failed('it could not be fetched', cause)
  })
  if (response.status === 404) return null
  if (!response.ok || response.body === null)
    throw new Error(
      `${name}: the server answered ${response.status} to ${url}; check that it serves the file`,
    )
  const total = Number(response.headers.get('content-length')) || undefined
  const parts: Uint8Array[] = []
  let bytes = 0
  const reader = response.body.getReader()
  const next = () =>
    reader.read().catch((cause: Error) => {
      throw failed(`it broke off after ${megabytes(bytes)}`, cause)
    })
  for (let part = await next(); !part.done; part = await next()) {
    parts.push(part.value)
    bytes += part.value.length
    const label = `Fetching ${name}, ${megabytes(bytes)}${total ? ` of ${megabytes(Math.max(total, bytes))}` : ''}`
    live({ label, ...(total && { share: Math.min(1, bytes / total) }) })
  }
  return new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer())
}

/** Entries of a zip archive that belong to a model, by their own names; those nearest to its root count. */
const unzipped = async (name: string, zip: Blob): Promise<Readonly<Record<string, Uint8Array>>> => {
  const { unzipSync } = await import('fflate')
  const bytes = new Uint8Array(await zip.arrayBuffer())
  const depth = (path: string): number => path.split('/').length
  const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)
  try {
    const all = unzipSync(bytes, {
      filter: ({ name: path, originalSize }) => {
        if (!wanted.includes(nameOf(path))) return false
        if (originalSize > mostBytes)
          throw new Error(`${path} has ${megabytes(originalSize)}, more than ${megabytes(mostBytes)}`)
        return true
      },
    })
    const paths = Object.keys(all).sort((a, b) => depth(b) - depth(a))
    return Object.fromEntries(paths.map((path) => [nameOf(path), all[path]]))
  } catch (cause) {
    throw new Error(
      `${name}: it does not read as a zip archive of a model (${(cause as Error).message}); zip what 'ul export' wrote`,
    )
  }
}

/** How to read the files of a source. */
export const readerOf = async (
  source: ModelSource,
  watched: { readonly signal: AbortSignal; readonly live: (live: Live) => void },
): Promise<ReadFile> => {
  switch (source.kind) {
    case 'urls':
      return async (name) => {
        const url = source.urls[name]
        return url === undefined ? null : fetched(url, name, watched)
      }
    case 'folder':
      return (name) => fetched(new URL(name, source.url).href, name, watched)
    case 'files':
      return async (name) => {
        const file = source.files[name]
        return file === undefined ? null : new Uint8Array(await file.arrayBuffer())
      }
    case 'zip': {
      const files = await unzipped(source.name, source.zip)
      return async (name) => files[name] ?? null
    }
  }
}
