/**
 * @file One writer for a folder: while a process writes there, the folder holds `.lock/holder.json`, which says who it is.
 *
 * A lock is taken by renaming a made-up folder to its name, which no file system does where the name is taken. Whether its
 * holder still lives is told on the same machine by process id and start time, so that a reused id is not taken for it;
 * elsewhere by its last sign of life, which the holder gives at intervals (the approach of the package proper-lockfile).
 */
import { mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { temporarySibling } from './atomic.ts'
import { isRunning } from './process.ts'

/** Who holds a lock. */
interface Holder {
  readonly host: string
  readonly pid: number
  /** When it was taken, by ISO 8601. */
  readonly since: string
  /** The running system, and the process in it; empty where the platform does not tell. */
  readonly system: string
  readonly started: string
  /** Number of the folder in its file system: a lock that was copied with its folder holds nothing. */
  readonly folder: string
}

/** A lock that is held. */
export interface Lock {
  /** @throws LockedError when it is held no more: the folder was removed, or another took a process for dead that slept */
  expectHeld(): void
  release(): void
}

/** Thrown when another process holds the lock of a folder. */
export class LockedError extends Error {}

const lockName = '.lock'
const holderFile = 'holder.json'

/** Milliseconds between signs of life, and after how long without one a holder that cannot be looked up counts as dead. */
const signEvery = 10_000
const deadAfter = 120_000

/** What a file or link of /proc says; empty where there is none. */
const told = (read: () => string): string => {
  try {
    return read().trim()
  } catch {
    return ''
  }
}

/** The system since it was started, and the space in which process ids are given. */
const thisSystem = (): string =>
  [
    told(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')),
    told(() => readlinkSync('/proc/self/ns/pid')),
  ].join(' ')

/** When a process was started, in ticks of the system (proc_pid_stat(5), field 22); empty for one that is dead or not told of. */
const startOf = (pid: number): string => {
  const stat = told(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  // The name, in parentheses, may hold anything. The fields behind it begin with the third, the state.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '')
}

const isHolder = (value: unknown): value is Holder => {
  const { host, pid, since, system, started, folder } = (value ?? {}) as Partial<Holder>
  return (
    [host, since, system, started, folder].every((part) => typeof part === 'string') &&
    typeof pid === 'number'
  )
}

const folderNumber = (dir: string): string => String(statSync(dir, { bigint: true }).ino)

/** Who holds a lock; null where there is none, or nobody can be read from it. */
const holderOf = (lock: string): Holder | null => {
  try {
    const value: unknown = JSON.parse(readFileSync(join(lock, holderFile), 'utf8'))
    return isHolder(value) ? value : null
  } catch {
    return null
  }
}

/** Milliseconds since the last sign of life, by the clock of the file system alone. */
const silence = (dir: string, lock: string): number => {
  const probe = temporarySibling(join(dir, lockName))
  try {
    writeFileSync(probe, '')
    const now = statSync(probe).mtimeMs
    return now - (statSync(join(lock, holderFile), { throwIfNoEntry: false })?.mtimeMs ?? now)
  } finally {
    rmSync(probe, { force: true })
  }
}

const isOfThisSystem = ({ host, system }: Holder): boolean => host === hostname() && system === thisSystem()

/**
 * What to say of a holder that may still be at work; null of one that is dead.
 * @param silent milliseconds since its last sign of life, asked for only where nothing else tells
 */
const signOfLife = (dir: string, holder: Holder, silent: () => number): string | null => {
  const { pid, started, folder } = holder
  if (folder !== folderNumber(dir)) return null
  const isHere = isOfThisSystem(holder)
  if (isHere && started !== '') return startOf(pid) === started ? 'at work now' : null
  if (isHere && !isRunning(pid)) return null
  const seconds = silent() / 1000
  const most = deadAfter / 1000
  return seconds < most ? `last heard of ${Math.round(seconds)} s ago, given up after ${most} s` : null
}

/** Who writes to a folder now. */
export interface Writer {
  readonly pid: number
  /** Whether it runs on this system, where `pid` is its process. */
  readonly isHere: boolean
}

/**
 * The living holder of a folder's lock, as far as it is told without writing there; null where there is none. One that cannot
 * be looked up is told by the age of its last sign of life, by the clock of this machine.
 */
export const writerOf = (dir: string): Writer | null => {
  const lock = join(dir, lockName)
  const holder = holderOf(lock)
  if (holder === null) return null
  try {
    const age = (): number => Date.now() - statSync(join(lock, holderFile)).mtimeMs
    return signOfLife(dir, holder, age) === null ? null : { pid: holder.pid, isHere: isOfThisSystem(holder) }
  } catch {
    return null // the folder, or its lock, has just gone
  }
}

const lockedBy = (dir: string, { host, pid, since }: Holder, sign: string): LockedError =>
  new LockedError(
    `${dir}: another process writes there (process ${pid} on ${host} since ${since}, ${sign}); wait until it ends, stop it, or give another directory`,
  )

/** Takes a lock out of the way that was found to be dead, unless somebody else has just done so. */
const discard = (lock: string, dead: Holder | null): void => {
  const aside = temporarySibling(lock)
  try {
    renameSync(lock, aside)
  } catch {
    return
  }
  const found = JSON.stringify(holderOf(aside))
  if (found === JSON.stringify(dead)) rmSync(aside, { recursive: true, force: true })
  else renameSync(aside, lock) // a living one, taken in the meantime
}

/** Takes the lock; false where somebody else was faster. */
const tryTake = (dir: string, lock: string, holder: Holder): boolean => {
  const made = temporarySibling(lock)
  try {
    mkdirSync(made)
    writeFileSync(join(made, holderFile), JSON.stringify(holder))
    renameSync(made, lock)
    return true
  } catch (cause) {
    rmSync(made, { recursive: true, force: true })
    const { code = '' } = cause as NodeJS.ErrnoException
    // The name is taken (EPERM: on Windows), or whoever took it has removed this as a leftover.
    if (['EEXIST', 'ENOTEMPTY', 'EPERM', 'ENOENT'].includes(code) && statSync(dir).isDirectory()) return false
    throw new Error(
      `${dir}: cannot be written to (${code}); free space or permit it, or give another directory`,
      {
        cause,
      },
    )
  }
}

/** Signs of life: the holder is written again, by which the file system gives its own time. */
const keepAlive = (lock: string, holder: Holder): (() => void) => {
  const timer = setInterval(() => {
    try {
      writeFileSync(join(lock, holderFile), JSON.stringify(holder), { flag: 'r+' })
    } catch {
      // A full disk or a folder that is gone is found by whoever writes something that matters.
    }
  }, signEvery)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * Makes this process the one that writes to a folder, which must exist. A lock whose holder is dead is taken over.
 * @throws LockedError when another process, or another job of this one, writes there; what the file system throws otherwise.
 */
export const lockFolder = (dir: string): Lock => {
  const lock = join(dir, lockName)
  const holder: Holder = {
    host: hostname(),
    pid: process.pid,
    since: new Date().toISOString(),
    system: thisSystem(),
    started: startOf(process.pid),
    folder: folderNumber(dir),
  }
  const take = (attemptsLeft: number): void => {
    const found = holderOf(lock)
    const sign = found && signOfLife(dir, found, () => silence(dir, lock))
    if (found !== null && sign !== null) throw lockedBy(dir, found, sign)
    discard(lock, found)
    if (tryTake(dir, lock, holder)) return
    if (attemptsLeft === 0)
      throw new LockedError(`${dir}: its ${lockName} can be neither read nor replaced; remove it`)
    take(attemptsLeft - 1)
  }
  take(10)
  const stop = keepAlive(lock, holder)
  const isHeld = (): boolean => JSON.stringify(holderOf(lock)) === JSON.stringify(holder)
  return {
    expectHeld: () => {
      if (isHeld()) return
      throw new LockedError(
        `${dir}: it was removed, or another process took it over, while this one wrote there; run the same command again`,
      )
    },
    release: () => {
      stop()
      if (isHeld()) discard(lock, holder)
    },
  }
}
