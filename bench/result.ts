/** @file What a case of the benchmark gives. */
import type { Spread } from './measure.ts'
import type { Target } from './target.ts'

/** A peer's part of a case. */
export interface PeerResult {
  readonly name: string
  readonly settings: string
  /** Largest relative difference of its values from ours. */
  readonly error: number
  readonly seconds: Spread
  /** Its time over ours: above 1 we are faster. */
  readonly ratio: Spread
  /** Null where it is not known: in a page. */
  readonly peakBytes: number | null
}

/** One case. */
export interface CaseResult {
  readonly name: string
  readonly title: string
  readonly target: Target
  /** Of our side. */
  readonly settings: string
  readonly gflopsPerRun: number
  readonly seconds: Spread
  /** Our rate over the rate of the matrix product in the same rounds. */
  readonly shareOfMatmul: Spread
  /** Null where it is not known: in a page. */
  readonly peakBytes: number | null
  /** What the bytes are of, ours and the peers': the processes, or what they took of the card. */
  readonly memory: 'resident' | 'card'
  /** Share of the machine that other programs took meanwhile. */
  readonly disturbance: number
  readonly peers: readonly PeerResult[]
  /** Why a peer is missing, by its name. */
  readonly skipped: Readonly<Record<string, string>>
}
