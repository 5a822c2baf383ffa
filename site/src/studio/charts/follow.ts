/** @file A metric of several runs, followed by the studio's events. */
import type { Series } from '../../../../src/studio/api.ts'
import type { StudioContext } from '../context.ts'
import { StudioError } from '../data/client.ts'
import { openSeriesFeed } from '../data/seriesFeed.ts'
import type { Range } from '../data/zoom.ts'

/** Which metric of which runs, over which steps; all of them where `range` is null. */
export interface Followed {
  readonly runs: readonly string[]
  readonly stage: string
  readonly metric: string
  readonly range: Range | null
}

/** Who is told of each run's series. */
export interface FollowParts extends Pick<StudioContext, 'client' | 'live'> {
  readonly onSeries: (run: string, series: Series) => void
  readonly onFault: (run: string, fault: string) => void
}

/** Parts of a series that are asked for: about one for each pixel. */
const points = 800

/** The page says once, not in every chart, that there is no server or no such run any more. */
const isSaidElsewhere = (fault: unknown): boolean =>
  fault instanceof StudioError && (fault.status === null || fault.status === 404)

/** Follows them until what is returned is called. */
export const followSeries = ({ runs, stage, metric, range }: Followed, parts: FollowParts): (() => void) => {
  const { client, live, onSeries, onFault } = parts
  const feeds = new Map(
    runs.map((run) => [
      run,
      openSeriesFeed({
        client,
        query: { run, stage, metric, points },
        onSeries: (series) => onSeries(run, series),
        onFault: (fault) => {
          if (!isSaidElsewhere(fault)) onFault(run, fault instanceof Error ? fault.message : String(fault))
        },
      }),
    ]),
  )
  for (const feed of feeds.values()) feed.whole(range)
  const stop = live.listen((event) => {
    if (event.event === 'lines' && event.stage === stage) feeds.get(event.run)?.grew(event.step)
    if (event.event === 'resync') for (const feed of feeds.values()) feed.whole(range)
  })
  return () => {
    stop()
    for (const feed of feeds.values()) feed.close()
  }
}
