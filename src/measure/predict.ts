/** @file How well a run predicts clips from their first frames, against what needs no model. */

import type { ImageSource } from '../data/images/source.ts'
import { isMovingSource, type MovingScene, placesAt, renderFrame } from '../data/open.ts'
import { framesFrom, framesOf } from '../engine/host/clips.ts'
import { toNchw } from '../engine/host/pixels.ts'
import { countOf, examplesOf, floats, type HostTensor, stacked } from '../engine/host/tensor.ts'
import { givenClips } from '../method/given.ts'
import type { ImageSet } from '../method/programs.ts'
import { valuesByFrame } from '../metrics/byFrame.ts'
import type { Measured, Prediction } from '../metrics/figures.ts'
import { mean, meanAndError } from '../metrics/mean.ts'
import { type Position, positionsIn } from '../metrics/position.ts'
import { psnr } from '../metrics/psnr.ts'
import { configGuidance, decoderSampler, latentSampler } from '../model/samplers.ts'
import { evenImages, evenly } from '../use/evenly.ts'
import { factsLike } from '../use/facts.ts'
import type { OpenedRun } from '../use/openRun.ts'
import { sampleParts } from '../use/sample.ts'

/** Which clips are predicted, and from how many frames. */
export interface PredictOptions {
  /** Clips at most, spread evenly. */
  readonly count: number
  readonly seed: number
  /** Frames given of each; `video.given` when absent. */
  readonly given?: number
  /** Guidance by them, 1 for none; the configuration's when absent. */
  readonly givenGuidance?: number
}

/** What was predicted first of each clip, and what came: [n, 3, T, H, W] each. */
export interface Predicted {
  readonly figures: Prediction
  readonly truth: HostTensor
  readonly predictions: HostTensor
}

/** How often each clip is predicted, with other noise each time. */
const drawsOfEach = 8

/** Going on at constant velocity from the last two of `given` places, for every frame after them. */
const goneOn = (places: readonly Position[], given: number): Position[] => {
  const [before, last] = [places[Math.max(0, given - 2)], places[given - 1]]
  return places.slice(given).map((_, i) => ({
    x: last.x + (i + 1) * (last.x - before.x),
    y: last.y + (i + 1) * (last.y - before.y),
  }))
}

/** The true places of the sprite in front. */
const placesOf = (scene: MovingScene, frames: number): Position[] =>
  Array.from({ length: frames }, (_, t) => placesAt(scene, t)[0])

/** Where the sprite in front is in the frames [1, 3, T, H, W] after the given ones. */
const placesIn = (scene: MovingScene, made: HostTensor, given: number): Position[] => {
  const { size } = scene
  const render = (t: number, x: number, y: number): Float32Array => {
    const [front, ...others] = placesAt(scene, given + t)
    return floats(toNchw(renderFrame(scene, [{ ...front, x, y }, ...others]), { size }))
  }
  return positionsIn(framesOf(made), { render })
}

/** What is kept of the draws of one clip: by draw, then by frame after the given ones. */
interface Draws {
  readonly psnr: number[][]
  readonly places: Position[][]
}

/** Mean over draws for each frame. */
const overDraws = (values: readonly (readonly number[])[]): number[] =>
  values[0].map((_, t) => mean(values.map((frames) => frames[t])))

/** Mean and error over clips for each frame. @param values one list of frames for each clip */
const byFrame = (values: readonly (readonly number[])[]): Measured[] =>
  values[0].map((_, t) => meanAndError(values.map((own) => own[t])))

const apart = (a: Position, b: Position): number => Math.hypot(a.x - b.x, a.y - b.y)

/** Errors of position of draws, of the mean place over draws, of going on as before, and of staying. */
const positionsOf = (scenes: readonly MovingScene[], draws: readonly Draws[], given: number) => {
  const errors = scenes.map((scene, n) => {
    const { places } = draws[n]
    const truth = placesOf(scene, given + places[0].length)
    const came = truth.slice(given)
    const expected = came.map((_, t) => ({
      x: mean(places.map((own) => own[t].x)),
      y: mean(places.map((own) => own[t].y)),
    }))
    const far = (own: readonly Position[]): number[] => own.map((place, t) => apart(place, came[t]))
    const stayed = came.map(() => truth[given - 1])
    return {
      ...{ own: overDraws(places.map(far)), expected: far(expected) },
      ...{ constant: far(goneOn(truth, given)), stayed: far(stayed) },
    }
  })
  return {
    positionErrorByFrame: byFrame(errors.map(({ own }) => own)),
    expectedPositionErrorByFrame: byFrame(errors.map(({ expected }) => expected)),
    constantVelocityErrorByFrame: byFrame(errors.map(({ constant }) => constant)),
    repeatedPositionErrorByFrame: byFrame(errors.map(({ stayed }) => stayed)),
  }
}

/** PSNR of clips, each a list of its frames. */
const psnrOf = (came: HostTensor, made: HostTensor): number[][] => {
  const frames = valuesByFrame(psnr, came, made) ?? []
  return Array.from({ length: countOf(came) }, (_, n) => frames.map((values) => values[n]))
}

/** Held-out clips that are predicted. */
interface Asked {
  readonly indices: readonly number[]
  /** Those clips, [n, 3, T, H, W]. */
  readonly truth: HostTensor
  readonly given: number
  readonly guidance: number
  readonly seed: number
}

/** Every draw of every clip, the first of all of them first: the clip's number and [1, 3, T, H, W]. */
async function* drawnPredictions(
  run: OpenedRun,
  source: ImageSource,
  { indices, truth, given, guidance, seed }: Asked,
): AsyncGenerator<{ readonly clip: number; readonly prediction: HostTensor }> {
  const { config } = run
  const n = indices.length
  const count = n * drawsOfEach
  const facts = indices.map((index) => factsLike(run, source, index))
  const clips: ImageSet = {
    count,
    read: async (first, many) =>
      stacked(Array.from({ length: many }, (_, i) => examplesOf(truth, (first + i) % n, 1))),
  }
  const parts = sampleParts(run, {
    facts: Array.from({ length: count }, (_, i) => facts[i % n]),
    seed,
    sampler: latentSampler(config),
    guidance: { ...configGuidance(config), scale: 1, given: guidance },
    decoder: decoderSampler(config),
    from: { clips, counts: Array<number>(count).fill(given) },
  })
  for await (const { first, images } of parts)
    for (let i = 0; i < countOf(images); i++)
      yield { clip: (first + i) % n, prediction: examplesOf(images, i, 1) }
}

/**
 * Predicts held-out clips, told their classes, several times, and measures the frames that were generated.
 * @throws when the run makes images, or as many frames are given as there are
 */
export const predictHeldOut = async (
  run: OpenedRun,
  source: ImageSource,
  { count, seed, given: asked, givenGuidance }: PredictOptions,
): Promise<Predicted> => {
  const { model } = run
  const given = asked ?? model.video?.given ?? 0
  const guidance = givenGuidance ?? configGuidance(run.config).given ?? 1
  if (model.video === undefined || given < 1 || given >= model.frames) {
    throw new Error(
      `prediction: ${given} frames given of ${model.frames}; a run of clips predicts from 1 to ${model.frames - 1}`,
    )
  }
  const indices = evenly(count, source.count)
  const n = indices.length
  const truth = await evenImages(source, count).read(0, n)
  const after = (clips: HostTensor): HostTensor => framesFrom(clips, given)
  const came = after(truth)
  const repeated = after(givenClips(truth, Array<number>(n).fill(given)).givenFrames)
  const scenes = isMovingSource(source) ? indices.map((index) => source.scene(index)) : []
  const draws: readonly Draws[] = indices.map(() => ({ psnr: [], places: [] }))
  const sum = new Float32Array(floats(came).length)
  const predictions: HostTensor[] = []
  const asking = { indices, truth, given, guidance, seed }
  for await (const { clip, prediction } of drawnPredictions(run, source, asking)) {
    if (draws[clip].psnr.length === 0) predictions.push(prediction)
    const made = after(prediction)
    draws[clip].psnr.push(psnrOf(examplesOf(came, clip, 1), made)[0])
    if (scenes.length > 0) draws[clip].places.push(placesIn(scenes[clip], made, given))
    const [values, start] = [floats(made), clip * floats(made).length]
    for (let i = 0; i < values.length; i++) sum[start + i] += values[i] / drawsOfEach
  }
  const own = draws.map((of) => overDraws(of.psnr))
  const expected = psnrOf(came, { ...came, data: sum })
  const still = psnrOf(came, repeated)
  const overClips = (clips: readonly (readonly number[])[]): Measured => meanAndError(clips.map(mean))
  return {
    figures: {
      ...{ count: n, given, draws: drawsOfEach, guidance },
      psnr: overClips(own),
      expectedPsnr: overClips(expected),
      repeatedPsnr: overClips(still),
      psnrByFrame: byFrame(own),
      expectedPsnrByFrame: byFrame(expected),
      repeatedPsnrByFrame: byFrame(still),
      ...(scenes.length > 0 ? positionsOf(scenes, draws, given) : {}),
    },
    truth,
    predictions: stacked(predictions),
  }
}
