/** @file The MPI libraries of a system, and what they call themselves. */
import { type LibraryHandle, loadedLibrary } from '../../native/library.ts'

/** MPI_MAX_LIBRARY_VERSION_STRING of MPICH, the longest. */
const longestVersion = 8192

/** A library, and the first line of what it calls itself. */
export interface FoundLibrary {
  readonly name: string
  readonly version: string
  readonly library: LibraryHandle
}

/**
 * Loads a library and asks for its version, which it says before MPI is started.
 * @param name as programs ask for it, or a path
 * @returns null where it, or one that it needs, is not found or is none of MPI
 */
export const foundLibrary = (name: string): FoundLibrary | null => {
  // Symbols are shared: Open MPI's plug-ins look for those of the library that loads them.
  const library = loadedLibrary(name, { global: true })
  if (library === null) return null
  try {
    const [text, length] = [Buffer.alloc(longestVersion), Int32Array.of(0)]
    const ask = library.func('int MPI_Get_library_version(void *text, void *length)')
    if (ask(text, length) !== 0) return null
    const version = text
      .toString('utf8', 0, length[0])
      .split('\n')[0]
      .replaceAll('\0', '')
      .replaceAll(/\s+/g, ' ')
      .trim()
    return { name, version, library }
  } catch {
    return null // a library of that name that is none of MPI
  }
}
