/** @file Whether the system finds a native library. */
import koffi, { type LibraryHandle } from 'koffi'

/** Loads a library by the name that programs ask for. @returns null where it, or one that it needs, is not found */
export const loadedLibrary = (name: string): LibraryHandle | null => {
  try {
    return koffi.load(name, { lazy: true })
  } catch {
    return null
  }
}
