/** @file One metric of one run, kept up to date: fetched once, then only what its log has grown by. */
import type { Series } from '../../../../src/studio/api.ts'
import type { SeriesQuery, StudioClient } from './client.ts'
import { type After, afterwards, atMostEvery } from './later.ts'
import { extended, isOutgrown, lastStep, noSeries } from './series.ts'
import type { Range } from './zoom.ts'

/** What a feed needs, and whom it tells. */
export interface FeedParts {
  readonly client: Pick<StudioClient, 'series'>
  readonly query: Pick<SeriesQuery, 'run' | 'stage' | 'metric' | 'points'>
  readonly onSeries: (series: Series) => void
  /** Told why there is nothing new; what was there stays. */
  readonly onFault: (fault: unknown) => void
  readonly after?: After
}

/** A metric that is followed. */
export interface SeriesFeed {
  /** The log has grown to a step. */
  grew(step: number): void
  /** Asks for everything anew: other steps (null for all), or after events were missed. */
  whole(range: Range | null): void
  close(): void
}

/** Milliseconds from one answer to the next question, so that a quick trainer does not keep the server busy. */
const pause = 400

/** Follows a metric until it is closed. Nothing is fetched before `whole` is called. */
export const openSeriesFeed = (parts: FeedParts): SeriesFeed => {
  const { client, query, onSeries, onFault, after = afterwards } = parts
  const ends = new AbortController()
  let series = noSeries
  let range: Range | null = null
  let isWhole = true
  let grownTo = -1
  /** Answers to what was asked before the last `whole` are of another range. */
  let asked = 0

  const limits = (): Partial<SeriesQuery> => {
    const ends = range === null ? {} : { from: Math.floor(range[0]), to: Math.ceil(range[1]) }
    return isWhole ? ends : { ...ends, from: lastStep(series) + 1 }
  }

  const restart = (): void => {
    isWhole = true
    asked += 1
  }

  /** A run that resumes at an older checkpoint writes steps again; a second line of the same step is no tail, either. */
  const isCutBack = (step: number): boolean => (grownTo < 0 ? step < lastStep(series) : step <= grownTo)

  const fetchNext = async (): Promise<void> => {
    const [mine, whole] = [asked, isWhole]
    try {
      const answer = await client.series({ ...query, ...limits() }, ends.signal)
      if (mine !== asked || ends.signal.aborted) return
      series = whole ? answer : extended(series, answer)
      isWhole = false
      onSeries(series)
    } catch (fault) {
      if (!ends.signal.aborted && mine === asked) onFault(fault)
    }
  }

  const next = atMostEvery(pause, fetchNext, after)
  return {
    grew: (step) => {
      const isFull = range !== null && lastStep(series) >= Math.ceil(range[1])
      if (isCutBack(step) || isOutgrown(series, query.points)) restart()
      grownTo = step
      if (isWhole || !isFull) next.ask()
    },
    whole: (steps) => {
      range = steps
      restart()
      next.ask()
    },
    close: () => {
      next.callOff()
      ends.abort()
    },
  }
}
