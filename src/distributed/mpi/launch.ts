/** @file What a launcher says in the environment of the processes that it starts. */

/** How a process was started. */
export interface Launch {
  readonly launcher: string
  /** Processes of the job, and which of them this one is. */
  readonly size: number
  readonly rank: number
  /** The same among those on this machine, where the launcher says so. */
  readonly localSize: number
  readonly localRank: number
}

/** Where a launcher writes what, by name of the variable. */
interface Launcher {
  readonly name: string
  readonly size: string
  readonly rank: string
  readonly localSize?: string
  readonly localRank?: string
}

/** A job step of Slurm has both its own and those of the interface by which it starts MPI. */
const launchers: readonly Launcher[] = [
  {
    name: 'Open MPI',
    size: 'OMPI_COMM_WORLD_SIZE',
    rank: 'OMPI_COMM_WORLD_RANK',
    localSize: 'OMPI_COMM_WORLD_LOCAL_SIZE',
    localRank: 'OMPI_COMM_WORLD_LOCAL_RANK',
  },
  {
    name: 'Slurm',
    size: 'SLURM_STEP_NUM_TASKS',
    rank: 'SLURM_PROCID',
    localSize: 'SLURM_NTASKS_PER_NODE',
    localRank: 'SLURM_LOCALID',
  },
  {
    name: 'MPICH',
    size: 'PMI_SIZE',
    rank: 'PMI_RANK',
    localSize: 'MPI_LOCALNRANKS',
    localRank: 'MPI_LOCALRANKID',
  },
]

type Environment = Readonly<Record<string, string | undefined>>

/** How this process was started; null where no launcher started it, or it alone. */
export const launchIn = (environment: Environment): Launch | null => {
  const number = (variable: string | undefined, otherwise: number): number => {
    const text = variable === undefined ? undefined : environment[variable]
    return text !== undefined && /^\d+$/.test(text) ? Number(text) : otherwise
  }
  const found = launchers.find(({ size }) => number(size, 1) > 1)
  if (found === undefined) return null
  return {
    launcher: found.name,
    size: number(found.size, 1),
    rank: number(found.rank, 0),
    localSize: number(found.localSize, 1),
    localRank: number(found.localRank, 0),
  }
}
