/** @file Processes that talk through MPI, called in the library of the system that started them. */
import type { LibraryHandle } from '../../native/library.ts'
import type { Collective } from '../collective.ts'
import { abis, type MpiAbi, type MpiConstants } from './abi.ts'
import { type Launch, launchIn } from './launch.ts'
import { type FoundLibrary, foundLibrary } from './libraries.ts'

/** A job that MPI holds together; to be ended, or aborted where it failed. */
export interface MpiJob extends Collective {
  /** Ends this process's part. All processes have to, or the launcher takes the job for failed. */
  end(): void
  /** Ends all processes at once. @param code the job's exit status */
  abort(code: number): void
}

type NativeFunction = ReturnType<LibraryHandle['func']>

/** Names the library to use: a file's name or path. */
const libraryVariable = 'UL_MPI'

/**
 * Only one thread calls MPI at a time, but not always the same: MPI_THREAD_SERIALIZED of every interface would do. More is asked
 * for (MPI_THREAD_MULTIPLE), as libraries lock nothing otherwise, though other threads come into them by hooks.
 */
const serialized = 2
/**
 * Set unless the user has: Open MPI and UCX put hooks into the C library's memory functions, for networks that register memory. With
 * them 3 of 107 short jobs died in V8's collector, without them none of 74: V8 gives memory back from threads of its own.
 */
const withoutHooks: Readonly<Record<string, string>> = { OMPI_MCA_memory: '^patcher', UCX_MEM_EVENTS: 'no' }
/** Elements that one call adds: counts are 32-bit integers, and a call is not interrupted. */
const mostElements = 2 ** 26
/** Milliseconds from one look at whether the others have come to the next. */
const patience = 5
/** Enough for MPI_Status and MPI_Request of every interface, and too much for V8 to move it. */
const statusBytes = 1024

/**
 * The library that a launcher's processes talk through. Those of the launcher's own name are looked for first, and no more are
 * loaded than it takes: two in one process share the names of their functions.
 * @throws in one sentence when there is none, or an unknown one
 */
const libraryFor = ({ launcher }: Launch): FoundLibrary & { readonly abi: MpiAbi } => {
  const asked = process.env[libraryVariable]
  const inOrder = [...abis].sort((a, b) => Number(b.name === launcher) - Number(a.name === launcher))
  const names = asked === undefined ? inOrder.flatMap(({ libraries }) => libraries) : [asked]
  let unknown: FoundLibrary | null = null
  for (const name of names) {
    const found = foundLibrary(name)
    const abi = found && abis.find(({ isOf }) => isOf(found.version, found.name))
    if (found && abi) return { ...found, abi }
    unknown ??= found
  }
  const what =
    unknown === null
      ? `none of ${names.join(', ')} can be loaded`
      : `${unknown.name} calls itself "${unknown.version}", which is none of ${abis.map(({ name }) => name).join(', ')}`
  throw new Error(
    `mpi: ${launcher} started this process, but ${what}; install its MPI library, or name another in ${libraryVariable}`,
  )
}

/** The functions of a library that are called. */
const functionsOf = ({ library, abi: { handle } }: FoundLibrary & { readonly abi: MpiAbi }) => ({
  start: library.func('int MPI_Init_thread(void *, void *, int required, _Out_ int *provided)'),
  rank: library.func(`int MPI_Comm_rank(${handle} world, _Out_ int *rank)`),
  size: library.func(`int MPI_Comm_size(${handle} world, _Out_ int *size)`),
  add: library.func(
    `int MPI_Allreduce(intptr_t send, void *numbers, int count, ${handle} type, ${handle} operation, ${handle} world)`,
  ),
  arrive: library.func(`int MPI_Ibarrier(${handle} world, void *request)`),
  test: library.func('int MPI_Test(void *request, _Out_ int *done, void *status)'),
  end: library.func('int MPI_Finalize()'),
  abort: library.func(`int MPI_Abort(${handle} world, int code)`),
})

/** @throws in one sentence when a function of MPI's gives an error, which most libraries do not let happen */
const expectSuccess = (name: string, code: unknown): void => {
  if (code !== 0) throw new Error(`mpi: ${name} failed with code ${code}; see what the other processes say`)
}

/** Calls a function on another thread, so that this one stays free to read and decode. */
const callAside = (name: string, call: NativeFunction, ...args: readonly unknown[]): Promise<void> =>
  new Promise((resolve, reject) => {
    call.async(...args, (error: Error | null, code: number) => {
      if (error !== null) return reject(error)
      try {
        expectSuccess(name, code)
        resolve()
      } catch (failure) {
        reject(failure)
      }
    })
  })

/** One call after the other: collectives that overlap get mixed up. */
const oneByOne = () => {
  let last: Promise<unknown> = Promise.resolve()
  return <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work)
    last = next.catch(() => undefined)
    return next
  }
}

const numberFrom = (name: string, call: NativeFunction, ...args: readonly unknown[]): number => {
  const given: [number] = [0]
  expectSuccess(name, call(...args, given))
  return given[0]
}

/** The job's collective operations. */
const collectiveOf = (functions: ReturnType<typeof functionsOf>, constants: MpiConstants): Collective => {
  const { world, float32, float64, sum, inPlace } = constants
  const inTurn = oneByOne()
  const add = async (numbers: Float32Array | Float64Array): Promise<void> => {
    const type = numbers instanceof Float32Array ? float32 : float64
    for (let from = 0; from < numbers.length; from += mostElements) {
      const part = numbers.subarray(from, from + mostElements)
      await callAside('MPI_Allreduce', functions.add, inPlace, part, part.length, type, sum, world)
    }
  }
  const meet = async (): Promise<void> => {
    const [request, status] = [Buffer.alloc(statusBytes), Buffer.alloc(statusBytes)]
    expectSuccess('MPI_Ibarrier', functions.arrive(world, request))
    const done: [number] = [0]
    for (;;) {
      expectSuccess('MPI_Test', functions.test(request, done, status))
      if (done[0] !== 0) return
      await new Promise((resolve) => setTimeout(resolve, patience))
    }
  }
  return {
    rank: numberFrom('MPI_Comm_rank', functions.rank, world),
    size: numberFrom('MPI_Comm_size', functions.size, world),
    sum: (numbers) => inTurn(() => add(numbers)),
    meet: () => inTurn(meet),
  }
}

/**
 * Joins the job of the launcher that started this process; null where none did, or it alone.
 * @throws in one sentence when the library is missing, unknown, or another than the launcher's
 */
export const joinMpiJob = (): MpiJob | null => {
  const launch = launchIn(process.env)
  if (launch === null) return null
  for (const [name, value] of Object.entries(withoutHooks)) process.env[name] ??= value
  const found = libraryFor(launch)
  const functions = functionsOf(found)
  const provided = numberFrom('MPI_Init_thread', functions.start, null, null, found.abi.threadMultiple)
  const constants = found.abi.constants(found.library)
  const collective = collectiveOf(functions, constants)
  const end = (): void => expectSuccess('MPI_Finalize', functions.end())
  if (collective.size !== launch.size || provided < serialized) {
    end()
    const what =
      provided < serialized
        ? 'lets only its first thread call it'
        : `finds ${collective.size} process${collective.size === 1 ? '' : 'es'}`
    throw new Error(
      `mpi: ${launch.launcher} started ${launch.size} processes, but ${found.name} (${found.version}) ${what}; ` +
        `use launcher and library of one MPI, or name the library in ${libraryVariable}`,
    )
  }
  return { ...collective, end, abort: (code) => void functions.abort(constants.world, code) }
}
