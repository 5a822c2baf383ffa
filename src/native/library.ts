/** @file Native libraries of the system: koffi as all that call one share it, and whether a library is found. */
import koffi, { type LibraryHandle } from 'koffi'

// Before the first library is loaded, as it cannot be changed later. Kernels run on the calling thread, and MPI on others:
// MPICH overflows koffi's 128 KiB there.
koffi.config({ ...koffi.config(), sync_stack_size: 8 << 20, async_stack_size: 8 << 20 })

export { koffi, type LibraryHandle }

/** Loads a library by the name that programs ask for. @returns null where it, or one that it needs, is not found */
export const loadedLibrary = (
  name: string,
  options: { readonly global?: boolean } = {},
): LibraryHandle | null => {
  try {
    return koffi.load(name, { lazy: true, ...options })
  } catch {
    return null
  }
}
