/**
 * @file Starts, resumes and stops trainers. Each is a process of its own that goes on when the studio ends; which one trains a
 * run is told by the run's lock alone, so that those are known, too, that were started elsewhere or by an earlier studio.
 */
import { execFileSync, spawn } from 'node:child_process'
import { closeSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { writerOf } from '../files/lock.ts'
import { runFiles } from '../runs/files.ts'
import { type Commands, sentenceIn } from './children.ts'
import type { RunsFolder } from './folder.ts'
import type { Outputs } from './outputs.ts'
import { Refused } from './refused.ts'

/** Devices that training may be asked for on. */
export const devices = ['cpu', 'webgpu', 'cuda'] as const
export type TrainingDevice = (typeof devices)[number]

/** Trainers of the runs of a folder. */
export interface Trainers {
  /** Trains a new run. Returns once it has begun. @throws Refused with its own sentence when it does not begin */
  start(run: string, source: string, set: readonly string[], device: TrainingDevice): Promise<void>
  /** Trains on what a run's own configuration says. @throws Refused */
  resume(run: string, device: TrainingDevice): Promise<void>
  /** Asks a run's trainer to save and end; `now`: ends it as it is. @throws Refused when none is to be ended from here */
  stop(run: string, now: boolean): void
}

/** Trainers that were started here and still run, at most. */
const mostTrainers = 8
/** Milliseconds that a start is waited for, and between looks. */
const [patience, every] = [20_000, 100]

/** The arguments of a process; empty where it is gone or not told of. */
const argumentsOf = (pid: number): string[] => {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' })
      .trim()
      .split(/\s+/)
  } catch {
    return []
  }
}

/** Whether a process is a `ul train`: the program is ours by its name, and that command comes next. */
const isTrainer = (pid: number): boolean => {
  const args = argumentsOf(pid)
  const at = args.findIndex((arg) => /^(main|ul)\.mjs$|^(ul|unified-latents)$/.test(basename(arg)))
  return at >= 0 && args[at + 1] === 'train'
}

/** @param outputs where they print to */
export const createTrainers = (folder: RunsFolder, outputs: Outputs, { start }: Commands): Trainers => {
  const running = new Set<string>()

  /** Starts a trainer, and waits until it holds the run's lock or has ended. */
  const begin = async (run: string, dir: string, args: readonly string[]): Promise<void> => {
    if (running.size >= mostTrainers)
      throw new Refused(
        429,
        `${mostTrainers} trainers that were started here still run; stop one of them first`,
      )
    const appended = outputs.open(run)
    const [program, ...before] = start
    const child = spawn(program, [...before, 'train', ...args, '--out', dir], {
      detached: true,
      stdio: ['ignore', appended, appended],
      env: { ...process.env, NO_COLOR: '1' },
    })
    closeSync(appended)
    running.add(run)
    let ended: string | null = null
    const leave = (how: string): void => {
      ended = how
      running.delete(run)
    }
    child.once('error', (error) => leave(error.message))
    child.once('exit', (code, signal) =>
      leave(code === 0 ? '' : `it ended with ${signal ?? `status ${code}`}`),
    )
    child.unref()
    for (let waited = 0; waited < patience && ended === null; waited += every) {
      if (writerOf(dir)?.pid === child.pid) return
      await setTimeout(every)
    }
    const how: string | null = ended
    if (how !== null && how !== '') throw new Refused(422, sentenceIn(outputs.end(run)) || `${run}: ${how}`)
  }

  const sourced = (source: string, set: readonly string[], device: TrainingDevice): string[] => [
    source,
    ...set.map((setting) => `--set=${setting}`),
    ...(device === 'cpu' ? [] : ['--device', device]),
  ]

  return {
    start: (run, source, set, device) => begin(run, folder.placeOf(run), sourced(source, set, device)),
    resume: (run, device) => {
      const dir = folder.directoryOf(run)
      if (writerOf(dir) !== null) throw new Refused(409, `${run}: it is being trained already`)
      return begin(run, dir, sourced(join(dir, runFiles.config), [], device))
    },
    stop: (run, now) => {
      const writer = writerOf(folder.directoryOf(run))
      if (writer === null) throw new Refused(409, `${run}: nobody trains it now`)
      if (!writer.isHere)
        throw new Refused(
          409,
          `${run}: it is trained on another machine or in another container; stop it there`,
        )
      if (!isTrainer(writer.pid))
        throw new Refused(
          409,
          `${run}: process ${writer.pid} writes there, which is no 'ul train'; stop it where it was started`,
        )
      process.kill(writer.pid, now ? 'SIGKILL' : 'SIGINT')
    },
  }
}
