/** @file The processes of a job that a launcher started (`mpirun ul train …`): joined before a command's work, ended after it. */
import { availableParallelism, cpus } from 'node:os'
import { ConfigError } from '../config/load.ts'
import { alone, type Collective } from '../distributed/collective.ts'
import { launchIn } from '../distributed/mpi/launch.ts'
import type { MpiJob } from '../distributed/mpi/mpi.ts'
import { mute } from './print.ts'

/** Milliseconds that the leader has to say what concerns all, and to end the job, before another process speaks of it. */
const leadersFirst = 3000
/** The same where all were told to stop: the leader saves first. */
const untilSaved = 60_000

/** Commands whose work is shared; of another there can be only one process. */
const shared: ReadonlySet<string> = new Set(['train', 'distill', 'sweep', 'encode', 'sample', 'evaluate'])

let joined: MpiJob | null = null

/** Silences a process that does not lead: all of them would say the same. */
export const muteFollower = (): void => mute((launchIn(process.env)?.rank ?? 0) > 0)

/** @throws ConfigError when a launcher started several processes of a command that works in one */
export const expectShared = (command: string): void => {
  const launch = launchIn(process.env)
  if (launch === null || shared.has(command)) return
  throw new ConfigError(
    `ul ${command} works in one process, but ${launch.launcher} started ${launch.size}; start it without a launcher`,
  )
}

/**
 * Does a command's work together with the other processes of its job, if there are any.
 * @throws what the work throws, and in one sentence when there is no MPI that fits the launcher
 */
export const inAllProcesses = async (work: (together: Collective) => Promise<void>): Promise<void> => {
  // Only now, and only in a job: a process alone does without native libraries.
  joined = launchIn(process.env) === null ? null : (await import('../distributed/mpi/mpi.ts')).joinMpiJob()
  await work(joined ?? alone)
  joined?.end()
  joined = null
}

/**
 * In a process that does not lead: waits until the leader must have said what concerns all, whereupon this process is ended,
 * and has its own say when it is not.
 * @returns what the process is to be called, as the beginning of a sentence; empty for the leader and for one that is alone
 */
export const afterTheLeader = async (wasToldToStop: boolean): Promise<string> => {
  const launch = launchIn(process.env)
  if (launch === null || launch.rank === 0) return ''
  await new Promise((resolve) => setTimeout(resolve, wasToldToStop ? untilSaved : leadersFirst))
  mute(false)
  return `process ${launch.rank} of ${launch.size}: `
}

/** Ends all processes of a job that this one has joined and that failed. */
export const abortJob = (code: number): void => joined?.abort(code)

/** Threads of a process: all there are, or its share where several processes of a job lie on the machine unbound. */
export const ownThreads = (): number => {
  const launch = launchIn(process.env)
  const [all, own] = [cpus().length, availableParallelism()]
  return launch === null || own < all ? own : Math.max(1, Math.floor(own / launch.localSize))
}

/** Number of the card that a process uses: each of those on one machine its own. */
export const ownCard = (): number => launchIn(process.env)?.localRank ?? 0
