/** @file Timing in alternation: rounds in which every participant runs for a moment while the others are idle. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import type { Participant, Timing } from './peer.ts'

/** Threads of ORT and OpenMP spin for a little after a run. */
const pauseMs = 100
/** A participant's part of a round lasts about this long, or one run. */
const turnSeconds = 0.5
const mostRuns = 50
/** Seconds after which a run needs no warming up. */
const longRun = 2
/** Share of the machine that other programs may take in a round that counts. */
export const quiet = 0.04

/** Middle, smallest and largest of some numbers. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** The spread of numbers. */
export const spreadOf = (values: readonly number[]): Spread => {
  const sorted = [...values].sort((a, b) => a - b)
  return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted.at(-1)! }
}

/** Processor seconds that this machine has been busy since it started, all programs together. */
const busySeconds = (): number => {
  const [, user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]
    .split(/\s+/)
    .map(Number)
  return (user + nice + system + irq + softirq + steal) / 100
}

interface Turn {
  readonly seconds: number
  /** Share of the machine that others took. */
  readonly others: number
  readonly peakBytes: number | null
}

const takeTurn = async (participant: Participant, runs: number): Promise<Turn> => {
  await setTimeout(pauseMs)
  const [begin, busy] = [performance.now(), busySeconds()]
  const timing: Timing = await participant.run(runs)
  const available = ((performance.now() - begin) / 1000) * availableParallelism()
  const others = Math.max(0, busySeconds() - busy - timing.cpu) / available
  return { seconds: spreadOf(timing.seconds).median, others, peakBytes: timing.peakBytes }
}

const runsPerTurn = (seconds: number): number =>
  Math.max(1, Math.min(mostRuns, Math.round(turnSeconds / seconds)))

/** A participant after its first runs. */
export interface Warm {
  readonly participant: Participant
  /** Of one run. */
  readonly seconds: number
}

/** Lets a participant run for a turn; a run of many seconds needs no second. */
export const warmUp = async (participant: Participant): Promise<Warm> => {
  const { seconds } = await takeTurn(participant, 1)
  const again = seconds > longRun ? seconds : (await takeTurn(participant, runsPerTurn(seconds))).seconds
  return { participant, seconds: again }
}

/** What all rounds say of one participant. */
export interface Measured {
  /** Seconds of one run in each round that counts. */
  readonly seconds: readonly number[]
  readonly peakBytes: number | null
}

/** Times of all participants, round by round. */
export interface Rounds<K extends string> {
  readonly measured: Readonly<Record<K, Measured>>
  /** Share of the machine that other programs took in the least quiet round that counts. */
  readonly disturbance: number
}

/**
 * Lets warm participants take turns, in reversed order every other round. Rounds in which other programs were busy are
 * repeated, up to as many again as were asked for; then the quietest count.
 */
export const alternate = async <K extends string>(
  participants: Readonly<Record<K, Warm>>,
  rounds: number,
): Promise<Rounds<K>> => {
  const names = Object.keys(participants) as K[]
  const all: { readonly turns: ReadonlyMap<K, Turn>; readonly others: number }[] = []
  while (all.filter(({ others }) => others < quiet).length < rounds && all.length < 2 * rounds) {
    const turns = new Map<K, Turn>()
    for (const name of all.length % 2 === 0 ? names : [...names].reverse()) {
      const { participant, seconds } = participants[name]
      turns.set(name, await takeTurn(participant, runsPerTurn(seconds)))
    }
    all.push({ turns, others: Math.max(...[...turns.values()].map(({ others }) => others)) })
  }
  const counted = all.sort((a, b) => a.others - b.others).slice(0, rounds)
  const of = (name: K): Measured => ({
    seconds: counted.map(({ turns }) => turns.get(name)!.seconds),
    peakBytes: counted.reduce<number | null>((most, { turns }) => {
      const { peakBytes } = turns.get(name)!
      return peakBytes === null ? most : Math.max(most ?? 0, peakBytes)
    }, null),
  })
  return {
    measured: Object.fromEntries(names.map((name) => [name, of(name)])) as Record<K, Measured>,
    disturbance: counted.at(-1)!.others,
  }
}
