/** @file MPI: the library that processes talk through, and the launcher that starts them. */
import type { Check, Finding } from './check.ts'
import { loadedLibrary } from './nativeLibrary.ts'
import { firstLineOf } from './program.ts'

/** Names under which libraries are installed. */
const libraries = ['libmpi.so.40', 'libmpi.so.12', 'libmpich.so.12', 'libmpi_abi.so.0', 'libmpi.dylib']
const launchers = ['mpirun', 'mpiexec', 'mpiexec.mpich', 'srun']

/** MPI_MAX_LIBRARY_VERSION_STRING of MPICH, the longest. */
const longestVersion = 8192

/** What a library calls itself; it may be asked before MPI is started. */
const versionOf = (name: string): string | null => {
  const library = loadedLibrary(name)
  if (library === null) return null
  const [text, length] = [Buffer.alloc(longestVersion), Int32Array.of(0)]
  try {
    const code = library.func('int MPI_Get_library_version(void *text, void *length)')(text, length)
    if (code !== 0) return null
  } catch {
    return null // a library of that name that is none of MPI
  }
  return text.toString('utf8', 0, length[0]).split('\n')[0].replaceAll('\0', '').trim()
}

/** Libraries and launchers. */
export const mpi: Check = {
  name: 'mpi',
  run: () => {
    const found = libraries.flatMap((name) => {
      const version = versionOf(name)
      return version === null ? [] : [{ name, version }]
    })
    const started = launchers.flatMap((name) => {
      const version = firstLineOf(name, ['--version'])
      return version === null ? [] : [{ name, version }]
    })
    const finding = (
      about: string,
      own: readonly { name: string; version: string }[],
      looked: readonly string[],
    ): Finding => ({
      about,
      state: own.length > 0 ? 'ok' : 'absent',
      text:
        own.length > 0
          ? own.map(({ name, version }) => `${name}: ${version}`).join('; ')
          : `none of ${looked.join(', ')} is found`,
      ...(own.length === 0 && { remedy: "install an MPI (Debian's packages are openmpi-bin and mpich)" }),
      facts: { found: own },
    })
    return [finding('mpi library', found, libraries), finding('mpi launcher', started, launchers)]
  },
}
