/** @file A metric of several runs, followed by the studio's events. */
import type { Series } from '../../../../src/studio/api.ts'
import type { StudioContext } from '../context.ts'
import { StudioError } from '../data/client.ts'
import { openSeriesFeed, type SeriesFeed } from '../data/seriesFeed.ts'
import type { Range } from '../data/zoom.ts'

/** Which metric, over which steps; all of them where `range` is null. */
export interface FollowedMetric {
  readonly stage: string
  readonly metric: string
  readonly range: Range | null
}

/** Who is told of each run's series. */
export interface FollowParts extends Pick<StudioContext, 'client' | 'live'> {
  readonly onSeries: (run: string, series: Series) => void
  readonly onFault: (run: string, fault: string) => void
}

/** A metric that is followed. */
export interface Followed {
  /** Follows it of these runs alone; what is known of those that stay is not asked for again. */
  follow(runs: readonly string[]): void
  close(): void
}

/** Parts of a series that are asked for: about one for each pixel. */
const points = 800

/** The page says once, not in every chart, that there is no server or no such run any more. */
const isSaidElsewhere = (fault: unknown): boolean =>
  fault instanceof StudioError && (fault.status === null || fault.status === 404)

/** Follows a metric of runs, of none at first, until it is closed. */
export const followMetric = ({ stage, metric, range }: FollowedMetric, parts: FollowParts): Followed => {
  const { client, live, onSeries, onFault } = parts
  const feeds = new Map<string, SeriesFeed>()

  const open = (run: string): void => {
    const feed = openSeriesFeed({
      client,
      query: { run, stage, metric, points },
      onSeries: (series) => onSeries(run, series),
      onFault: (fault) => {
        if (!isSaidElsewhere(fault)) onFault(run, fault instanceof Error ? fault.message : String(fault))
      },
    })
    feeds.set(run, feed)
    feed.whole(range)
  }

  const stop = live.listen((event) => {
    if (event.event === 'lines' && event.stage === stage) feeds.get(event.run)?.grew(event.step)
    if (event.event === 'resync') for (const feed of feeds.values()) feed.whole(range)
  })

  return {
    follow: (runs) => {
      for (const [run, feed] of feeds) {
        if (runs.includes(run)) continue
        feed.close()
        feeds.delete(run)
      }
      for (const run of runs) if (!feeds.has(run)) open(run)
    },
    close: () => {
      stop()
      for (const feed of feeds.values()) feed.close()
    },
  }
}
