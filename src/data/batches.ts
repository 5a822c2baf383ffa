/**
 * @file The batches of a training run. Which images make up which step is a pure function of (seed, step), so that
 * a resumed run sees what an unbroken one would have seen and nothing needs to be saved; batches are read ahead, so
 * that decoding overlaps with training.
 */

import { standing } from '../engine/host/clips.ts'
import type { Part } from '../engine/host/part.ts'
import { toNchw } from '../engine/host/pixels.ts'
import { randomUniform, randomWord, streamKey } from '../engine/host/random.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
import type { ImageSource } from './images/source.ts'

/** How examples are drawn. */
export interface PlanOptions {
  readonly seed: number
  /** Draw every class equally often, however many images it has. Default false. */
  readonly balance?: boolean
  /** Mirror half of the examples left to right. Default false. */
  readonly flip?: boolean
  /** Share of clips that stand still at one of their frames, as images do. Default 0. */
  readonly imageShare?: number | undefined
}

/** The endless stream of training examples of a source; `position` counts examples from 0. */
export interface BatchPlan {
  /** Number of images drawn from. */
  readonly count: number
  /** Image index of an example. */
  index(position: number): number
  /** Whether an example is mirrored left to right. */
  flipped(position: number): boolean
  /** Where in a clip its frames begin, from 0 to below 1. */
  window(position: number): number
  /** Where in a clip it stands still, from 0 to below 1; null where it goes on. */
  still(position: number): number | null
}

const shuffle = (count: number, seed: number, ...stream: readonly (string | number)[]): Uint32Array => {
  const order = Uint32Array.from({ length: count }, (_, i) => i)
  const key = streamKey(seed, ...stream)
  // Fisher–Yates
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(randomUniform(key, i) * (i + 1))
    const swap = order[i]
    order[i] = order[j]
    order[j] = swap
  }
  return order
}

/** The order of the images 0..count−1 in an epoch, a permutation that depends on (seed, epoch) alone. [count] */
export const epochOrder = (count: number, seed: number, epoch: number): Uint32Array =>
  shuffle(count, seed, 'epoch', epoch)

/** Keeps the last two results per name: a batch may straddle two epochs. Only saves time, never changes a result. */
const remembered = (make: (name: number, epoch: number) => Uint32Array) => {
  const kept = new Map<number, { epoch: number; order: Uint32Array }[]>()
  return (name: number, epoch: number): Uint32Array => {
    const recent = kept.get(name) ?? []
    const hit = recent.find((entry) => entry.epoch === epoch)
    if (hit) return hit.order
    const order = make(name, epoch)
    kept.set(name, [{ epoch, order }, ...recent.slice(0, 1)])
    return order
  }
}

/** Epoch after epoch, each a permutation. */
const plainIndex = (count: number, seed: number): BatchPlan['index'] => {
  const order = remembered((_, epoch) => epochOrder(count, seed, epoch))
  return (position) => order(0, Math.floor(position / count))[position % count]
}

/**
 * Rounds in which every class that has images comes once in shuffled order; a class goes through its own images
 * epoch after epoch. After any number of whole rounds all classes have been drawn equally often.
 */
const balancedIndex = (labels: ArrayLike<number>, seed: number): BatchPlan['index'] => {
  const byLabel = new Map<number, number[]>()
  for (let i = 0; i < labels.length; i++) {
    const members = byLabel.get(labels[i])
    if (members) members.push(i)
    else byLabel.set(labels[i], [i])
  }
  const classes = [...byLabel.keys()].sort((a, b) => a - b).map((label) => byLabel.get(label)!)
  const rounds = remembered((_, round) => shuffle(classes.length, seed, 'round', round))
  const within = remembered((c, epoch) => shuffle(classes[c].length, seed, 'class', c, epoch))
  return (position) => {
    const round = Math.floor(position / classes.length)
    const c = rounds(0, round)[position % classes.length]
    const members = classes[c]
    return members[within(c, Math.floor(round / members.length))[round % members.length]]
  }
}

/**
 * The stream of training examples of a source, a pure function of its labels and the options.
 * @throws when the source has no images, or `balance` is asked of a source without classes.
 */
export const batchPlan = (
  source: Pick<ImageSource, 'name' | 'count' | 'classes' | 'label'>,
  { seed, balance = false, flip = false, imageShare = 0 }: PlanOptions,
): BatchPlan => {
  const { name, count, classes } = source
  if (count === 0) throw new Error(`${name}: there are no images to draw; check the data folder`)
  if (balance && classes.length === 0) {
    throw new Error(
      `${name}: cannot balance classes because the data has none; sort the images into one folder per class or --set data.balance=false`,
    )
  }
  const flips = streamKey(seed, 'flip')
  const windows = streamKey(seed, 'window')
  const stills = streamKey(seed, 'still')
  const labels = Int32Array.from({ length: count }, (_, i) => source.label(i))
  return {
    count,
    index: balance ? balancedIndex(labels, seed) : plainIndex(count, seed),
    flipped: (position) => flip && (randomWord(flips, position) & 1) === 1,
    window: (position) => randomUniform(windows, position),
    still: (position) => {
      const u = randomUniform(stills, position)
      return u < imageShare ? u / imageShare : null
    },
  }
}

/** An example of a step. */
export interface PlannedExample {
  /** Index of the image. */
  readonly index: number
  readonly mirrored: boolean
  /** Where in a clip its frames begin, from 0 to below 1. */
  readonly window: number
  /** Where in a clip it stands still, from 0 to below 1; null where it goes on. */
  readonly still: number | null
}

/** The example at a position of the stream, of the image that the plan shows there or of another one. */
export const plannedExample = (
  plan: BatchPlan,
  position: number,
  {
    index = plan.index(position),
    mirrored = plan.flipped(position),
  }: Partial<Pick<PlannedExample, 'index' | 'mirrored'>> = {},
): PlannedExample => ({ index, mirrored, window: plan.window(position), still: plan.still(position) })

/** The examples of a part of a step's batch, step·of + first … of the stream. */
export const plannedExamples = (
  plan: BatchPlan,
  step: number,
  { first, count, of }: Part,
): PlannedExample[] => Array.from({ length: count }, (_, i) => plannedExample(plan, step * of + first + i))

/** What to read. */
export interface BatchReaderOptions {
  readonly source: ImageSource
  readonly plan: BatchPlan
  /** Which images of a step's batch. */
  readonly part: Part
  /** Batches kept under way beyond the step asked for. Default 3. */
  readonly ahead?: number
}

/** Delivers the batch of any step; asking for consecutive steps is what it is fast at. */
export interface BatchReader {
  /**
   * The part's images of a step, [B, 3, size, size], −1..1; clips [B, 3, frames, size, size]. Rejects when reading them failed, which affects no other step;
   * asking again reads again.
   */
  next(step: number): Promise<HostTensor>
  /** Refuses further steps; resolves when nothing is being read any more. */
  close(): Promise<void>
}

/** The given images of a source as network input, unmirrored: [n, 3, size, size], −1..1; of clips the beginnings. */
export const readImages = async (source: ImageSource, indices: readonly number[]): Promise<HostTensor> =>
  toNchw(await source.read(indices), source)

/** Examples as training sees them, [n, 3, size, size], −1..1; of clips [n, 3, frames, size, size]. */
export const readExamples = async (
  source: ImageSource,
  examples: readonly PlannedExample[],
): Promise<HostTensor> => {
  const pixels = await source.read(
    examples.map(({ index }) => index),
    examples.map(({ window }) => window),
  )
  const { frames } = source
  const x = toNchw(
    pixels,
    source,
    examples.map(({ mirrored }) => mirrored),
  )
  if (frames === undefined || examples.every(({ still }) => still === null)) return x
  return standing(
    x,
    examples.map(({ still }) => (still === null ? null : Math.floor(still * frames))),
  )
}

/** Starts a reader; nothing is read before the first `next`. */
export const openBatchReader = ({ source, plan, part, ahead = 3 }: BatchReaderOptions): BatchReader => {
  const underWay = new Map<number, Promise<HostTensor>>()
  const reading = new Set<Promise<unknown>>()
  let closed = false

  const readStep = (step: number): Promise<HostTensor> =>
    readExamples(source, plannedExamples(plan, step, part))

  const start = (step: number): void => {
    if (underWay.has(step)) return
    const promise = readStep(step)
    underWay.set(step, promise)
    // a batch read ahead may fail before, or without ever, being asked for; that must not end the process
    const settled = promise.then(
      () => {},
      () => {},
    )
    reading.add(settled)
    settled.finally(() => reading.delete(settled))
  }

  return {
    next: async (step) => {
      if (closed)
        throw new Error(`${source.name}: the batch reader is closed; open another to read step ${step}`)
      for (const known of underWay.keys()) if (known < step || known > step + ahead) underWay.delete(known)
      for (let k = 0; k <= ahead; k++) start(step + k)
      const wanted = underWay.get(step)!
      underWay.delete(step)
      return wanted
    },
    close: async () => {
      closed = true
      underWay.clear()
      await Promise.all(reading)
    },
  }
}
