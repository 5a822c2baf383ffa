/** @file Whether training fits the memory that there is: said before it starts, where else the system ends it without a word. */
import { freemem } from 'node:os'
import type { Config } from '../config/schema.ts'
import type { Device } from '../engine/runtime/runtime.ts'
import { stageCost } from './info.ts'
import type { Stage } from './stage.ts'

/** Bytes that this process may still take: what the machine has available, within the limit of its control group. */
const memoryLeft = (): number => {
  const limit = process.constrainedMemory()
  const available = freemem()
  return limit > 0 ? Math.min(available, Math.max(0, limit - process.memoryUsage.rss())) : available
}

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`

/** What a stage takes besides the process itself, at its peak. */
const bytesOf = (config: Config, stage: Stage, classes: number): number => {
  const { stateBytes, fedBytes, intermediateBytes } = stageCost(config, stage, classes)
  return stateBytes + fedBytes + intermediateBytes
}

const withTrain = (config: Config, change: Partial<Config['train']>): Config => ({
  ...config,
  train: { ...config.train, ...change },
})

/** The fewest parts of every stage's batch, from a number on, with which a stage fits; none where none does. */
const fittingParts = (
  config: Config,
  stage: Stage,
  { classes, room, from, processes }: Readonly<Record<'classes' | 'room' | 'from' | 'processes', number>>,
  batches: readonly number[],
): { readonly parts: number; readonly bytes: number } | undefined => {
  const most = Math.min(...batches)
  for (let parts = from; parts <= most; parts++) {
    if (batches.some((batch) => batch % (parts * processes) !== 0)) continue
    const bytes = bytesOf(withTrain(config, { accumulate: parts * processes }), stage, classes)
    if (bytes <= room) return { parts, bytes }
  }
  return undefined
}

/**
 * One sentence for each stage whose peak is predicted to exceed the memory there is, with what to set; none on a GPU, whose
 * memory is not known. Of several processes each takes that much.
 * @param stages those that will be trained
 * @param room bytes that may still be taken
 */
export const memoryWarnings = (
  config: Config,
  stages: readonly Stage[],
  {
    classes,
    device,
    processes = 1,
  }: { readonly classes: number; readonly device: Device; readonly processes?: number },
  room: number = memoryLeft(),
): string[] => {
  if (device !== 'cpu') return []
  const batches = stages.map((stage) => stage.settings(config).batch)
  return stages.flatMap((stage) => {
    const now = config.train.accumulate ?? 1
    const shared = withTrain(config, { accumulate: now * processes })
    const bytes = bytesOf(shared, stage, classes)
    if (bytes <= room) return []
    // Intermediate tensors, nearly all of it, fall as parts rise.
    const from = Math.max(now + 1, Math.floor((now * bytes) / Math.max(1, room)))
    const parts = fittingParts(config, stage, { classes, room, from, processes }, batches)
    const recomputed = bytesOf(withTrain(shared, { recompute: true }), stage, classes)
    const ways = [
      ...(parts === undefined ? [] : [`train.accumulate=${parts.parts} (${gibibytes(parts.bytes)})`]),
      ...(recomputed <= room && !config.train.recompute
        ? [`train.recompute=true (${gibibytes(recomputed)})`]
        : []),
      'a smaller batch',
    ]
    return [
      `${stage.name} will take about ${gibibytes(bytes)} of memory, but only ${gibibytes(room)} are there: it may be ended without a word; set ${ways.join(', or ')}`,
    ]
  })
}
