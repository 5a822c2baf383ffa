/** @file Where a benchmark is run: a device of this program, or one of a page. */
import type { Case } from './case.ts'
import type { Participant } from './peer.ts'
import type { Peer } from './peers.ts'
import type { Target } from './target.ts'

/** A place with what can be compared there. */
export interface Place {
  readonly target: Target
  /** In the order of the table; the first is the product that rates are compared with. */
  readonly cases: readonly Case[]
  readonly peers: readonly Peer[]
  /** Starts our side of a case. */
  startOurs(own: Case): Participant
}
