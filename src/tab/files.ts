/** @file Where a tab keeps a run: named files, as a browser's own file system has them, or in memory. */

/** The files of one run, by paths with slashes. */
export interface RunFiles {
  /** Names of what lies in a folder, sorted; none where there is no such folder. */
  list(folder: string): Promise<string[]>
  /** The bytes of a file; null where there is none. */
  read(path: string): Promise<Uint8Array | null>
  /** Writes a file, with the folders above it: afterwards, whatever happens meanwhile, it is the old one or all of the new. */
  write(path: string, chunks: readonly Uint8Array[]): Promise<void>
  /** Adds bytes to the end of a file, which is made where there is none. */
  append(path: string, bytes: Uint8Array): Promise<void>
  /** Removes a file, or a folder with all that it holds; nothing where there is neither. */
  remove(path: string): Promise<void>
}

/** Chunks as one. */
export const joined = (chunks: readonly Uint8Array[]): Uint8Array => {
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0))
  let end = 0
  for (const chunk of chunks) {
    bytes.set(chunk, end)
    end += chunk.length
  }
  return bytes
}

/** Files in memory. */
export const memoryFiles = (files: Map<string, Uint8Array> = new Map()): RunFiles => ({
  list: async (folder) => {
    const start = folder === '' ? '' : `${folder}/`
    const below = [...files.keys()].filter((path) => path.startsWith(start))
    return [...new Set(below.map((path) => path.slice(start.length).split('/')[0]))].sort()
  },
  read: async (path) => files.get(path)?.slice() ?? null,
  write: async (path, chunks) => void files.set(path, joined(chunks)),
  append: async (path, bytes) => void files.set(path, joined([files.get(path) ?? new Uint8Array(), bytes])),
  remove: async (path) => {
    for (const name of [...files.keys()]) if (name === path || name.startsWith(`${path}/`)) files.delete(name)
  },
})

/** A file as text; null where there is none. */
export const readText = async (files: RunFiles, path: string): Promise<string | null> => {
  const bytes = await files.read(path)
  return bytes === null ? null : new TextDecoder().decode(bytes)
}

/** Writes a text. */
export const writeText = (files: RunFiles, path: string, text: string): Promise<void> =>
  files.write(path, [new TextEncoder().encode(text)])
