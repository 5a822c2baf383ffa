/** @file MPI: the library that processes talk through, and the launcher that starts them. */
import { abis } from '../distributed/mpi/abi.ts'
import { foundLibrary } from '../distributed/mpi/libraries.ts'
import type { Check, Finding } from './check.ts'
import { firstLineOf } from './program.ts'

const libraryNames = abis.flatMap(({ libraries }) => libraries)
const launchers = ['mpirun', 'mpiexec', 'mpiexec.mpich', 'srun']

/** Libraries and launchers. */
export const mpi: Check = {
  name: 'mpi',
  run: () => {
    const found = libraryNames.flatMap((name) => {
      const library = foundLibrary(name)
      return library === null ? [] : [{ name, version: library.version }]
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
    return [finding('mpi library', found, libraryNames), finding('mpi launcher', started, launchers)]
  },
}
