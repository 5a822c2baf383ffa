/** @file How the MPI libraries spell their constants: each of the three interfaces is a value. */
import { koffi, type LibraryHandle } from '../../native/library.ts'

/** Handles as they are passed to functions. */
export interface MpiConstants {
  readonly world: number | bigint
  readonly float32: number | bigint
  readonly float64: number | bigint
  readonly sum: number | bigint
  /** What stands for a send buffer where the sum replaces what is given. */
  readonly inPlace: number
}

/** One of the interfaces. */
export interface MpiAbi {
  readonly name: string
  /** Names under which its libraries are installed. */
  readonly libraries: readonly string[]
  /** C type of handles. */
  readonly handle: 'uintptr_t' | 'int'
  /** MPI_THREAD_MULTIPLE. */
  readonly threadMultiple: number
  /** Whether a library that calls itself so has it. @param library the name of its file */
  isOf(version: string, library: string): boolean
  constants(library: LibraryHandle): MpiConstants
}

const addressOf = (library: LibraryHandle, symbol: string): bigint =>
  BigInt(koffi.address(library.symbol(symbol, 'void')))

/** Handles are numbers that the MPI standard 5.0 fixes (chapter "Application Binary Interface"), whoever made the library. */
const standard: MpiAbi = {
  name: 'MPI-5 standard ABI',
  libraries: ['libmpi_abi.so.0'],
  handle: 'uintptr_t',
  threadMultiple: 7,
  isOf: (_, library) => library.includes('mpi_abi'),
  constants: () => ({ world: 0x101, float32: 0x210, float64: 0x214, sum: 0x21, inPlace: 1 }),
}

/** Handles are the addresses of objects in the library (its mpi.h). */
const openMpi: MpiAbi = {
  name: 'Open MPI',
  libraries: ['libmpi.so.40', 'libmpi.dylib'],
  handle: 'uintptr_t',
  threadMultiple: 3,
  isOf: (version) => /open mpi/i.test(version),
  constants: (library) => ({
    world: addressOf(library, 'ompi_mpi_comm_world'),
    float32: addressOf(library, 'ompi_mpi_float'),
    float64: addressOf(library, 'ompi_mpi_double'),
    sum: addressOf(library, 'ompi_mpi_op_sum'),
    inPlace: 1,
  }),
}

/** Handles are numbers of MPICH's mpi.h, which its relatives keep (the MPICH ABI Compatibility Initiative). */
const mpich: MpiAbi = {
  name: 'MPICH',
  libraries: ['libmpich.so.12', 'libmpi.so.12'],
  handle: 'int',
  threadMultiple: 3,
  isOf: (version) => /mpich|intel\(r\) mpi|mvapich|cray mpi/i.test(version),
  constants: () => ({
    world: 0x44000000,
    float32: 0x4c00040a,
    float64: 0x4c00080b,
    sum: 0x58000003,
    inPlace: -1,
  }),
}

/** All of them; a library with the standard's is told by its file, whatever it calls itself. */
export const abis: readonly MpiAbi[] = [standard, openMpi, mpich]
