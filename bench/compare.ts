/** @file One case beside the peers that can do it. */
import { takingOfCard } from './cardMemory.ts'
import type { Case } from './case.ts'
import { alternate, spreadOf, type Warm, warmUp } from './measure.ts'
import type { Prepared } from './peer.ts'
import type { Peer } from './peers.ts'
import type { Place } from './place.ts'
import type { CaseResult, PeerResult } from './result.ts'
import { tolerances } from './target.ts'

/** A peer does not take part in the rounds when one run takes this many seconds and this many times as long as ours. */
const patience = { seconds: 15, times: 5 }

/** Our side of a case, warm, with what it says of itself. */
export interface Ours extends Warm, Prepared {
  readonly gflops: number
  /** What it took of the card's memory; null where that is not known, and on the CPU. */
  readonly cardBytes: number | null
}

interface Ready extends Warm {
  readonly peer: Peer
  readonly variant: string
  readonly description: string
  readonly error: number
  readonly cardBytes: number | null
}

/** What a comparison runs on. */
export interface Bench extends Pick<Place, 'target' | 'startOurs'> {
  /** The product of the same target that rates are compared with. */
  readonly product: Ours
  readonly installed: readonly Peer[]
  readonly rounds: number
  /** Where a case is handed over. */
  readonly path: string
}

/** Starts our side of a case and warms it up. @throws what went wrong in words, after ending it */
export const warmOurs = async (
  own: Case,
  { target, path, startOurs }: Pick<Bench, 'target' | 'path' | 'startOurs'>,
): Promise<Ours> => {
  const participant = startOurs(own)
  try {
    const [ready, cardBytes] = await takingOfCard(target.device !== 'cpu', async () => {
      const prepared = await participant.prepare(path)
      return { ...prepared, ...(await warmUp(participant)) }
    })
    return { ...ready, gflops: ready.gflops!, cardBytes }
  } catch (cause) {
    participant.close()
    throw cause
  }
}

/** Starts a peer in each of its variants and keeps the fastest; a sentence when there is nothing to compare with. */
const fastest = async (
  peer: Peer,
  caseName: string,
  ourSeconds: number,
  { target, path }: Bench,
): Promise<Ready | string> => {
  const variants = peer.variants(caseName)
  if (typeof variants === 'string') return variants
  let best: Ready | undefined
  for (const variant of variants) {
    const { name } = variant
    const participant = variant.start()
    try {
      const [ready, cardBytes] = await takingOfCard(target.device !== 'cpu', async () => {
        const { errors, description } = await participant.prepare(path)
        const [worst, error] = Object.entries(errors).sort(([, a], [, b]) => b - a)[0]
        if (!(error < tolerances[target.precision]))
          throw new Error(`its ${worst} differs from ours by ${error}`)
        const { seconds } = await warmUp(participant)
        if (seconds > Math.max(patience.seconds, patience.times * ourSeconds))
          throw new Error(`one run takes ${seconds.toFixed(0)} s`)
        return { peer, variant: name, description, participant, error, seconds }
      })
      if (best !== undefined && best.seconds <= ready.seconds) {
        participant.close()
      } else {
        best?.participant.close()
        best = { ...ready, cardBytes }
      }
    } catch (cause) {
      participant.close()
      best?.participant.close()
      return (cause as Error).message
    }
  }
  return best!
}

/** Measures one case. */
export const compare = async (own: Case, bench: Bench): Promise<CaseResult> => {
  const { target, product, installed, rounds } = bench
  const us = await warmOurs(own, bench)
  const ready: Ready[] = []
  const skipped: Record<string, string> = {}
  try {
    for (const peer of installed.filter(({ variants }) => variants(own.name).length > 0)) {
      const found = await fastest(peer, own.name, us.seconds, bench)
      if (typeof found === 'string') skipped[peer.name] = found
      else ready.push(found)
    }
    const others = Object.fromEntries(ready.map((theirs) => [theirs.peer.name, theirs]))
    const all: Readonly<Record<string, Warm>> = { ours: us, matmul: product, ...others }
    const { measured, disturbance } = await alternate(all, rounds)
    const { seconds, peakBytes } = measured.ours
    const ratiosTo = (times: readonly number[], factor: number): number[] =>
      seconds.map((own, i) => (factor * times[i]) / own)
    return {
      name: own.name,
      title: target.device === 'cpu' ? own.title : `${own.title}, ${target.precision}`,
      target,
      settings: us.description,
      gflopsPerRun: us.gflops,
      seconds: spreadOf(seconds),
      shareOfMatmul: spreadOf(ratiosTo(measured.matmul.seconds, us.gflops / product.gflops)),
      peakBytes: us.cardBytes ?? peakBytes,
      memory: us.cardBytes === null ? 'resident' : 'card',
      disturbance,
      skipped,
      peers: ready.map(({ peer, variant, description, error, cardBytes }): PeerResult => {
        const theirs = measured[peer.name]
        return {
          name: peer.name,
          settings: [description, variant].filter((part) => part !== '').join(', '),
          error,
          seconds: spreadOf(theirs.seconds),
          ratio: spreadOf(ratiosTo(theirs.seconds, 1)),
          peakBytes: cardBytes ?? theirs.peakBytes,
        }
      }),
    }
  } finally {
    us.participant.close()
    for (const { participant } of ready) participant.close()
  }
}
