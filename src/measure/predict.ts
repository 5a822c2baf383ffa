/** @file How well a run predicts clips from their first frames, against what needs no model. */

import type { ImageSource } from '../data/images/source.ts'
import { isMovingSource, type MovingScene, placesAt, renderFrame } from '../data/open.ts'
import { framesFrom, framesOf } from '../engine/host/clips.ts'
import { toNchw } from '../engine/host/pixels.ts'
import { countOf, examplesOf, floats, type HostTensor } from '../engine/host/tensor.ts'
import { givenClips } from '../method/given.ts'
import { imageSetOf } from '../method/programs.ts'
import { valuesByFrame } from '../metrics/byFrame.ts'
import type { Measured, Prediction } from '../metrics/figures.ts'
import { mean, meanAndError } from '../metrics/mean.ts'
import { type Position, positionErrors } from '../metrics/position.ts'
import { psnr } from '../metrics/psnr.ts'
import { configGuidance, decoderSampler, latentSampler } from '../model/samplers.ts'
import { evenImages, evenly } from '../use/evenly.ts'
import { factsLike } from '../use/facts.ts'
import type { OpenedRun } from '../use/openRun.ts'
import { sample } from '../use/sample.ts'

/** Which clips are predicted, and from how many frames. */
export interface PredictOptions {
  /** Clips at most, spread evenly. */
  readonly count: number
  readonly seed: number
  /** Frames given of each; `video.given` when absent. */
  readonly given?: number
}

/** What was predicted, and what came: [n, 3, T, H, W] each. */
export interface Predicted {
  readonly figures: Prediction
  readonly truth: HostTensor
  readonly predictions: HostTensor
}

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

/** How far the sprite in front is from its place in the frames [T, 3, H, W] after the given ones. */
const errorsOfFront = (scene: MovingScene, frames: HostTensor, given: number): number[] => {
  const { size } = scene
  const truth = placesOf(scene, given + countOf(frames)).slice(given)
  const render = (t: number, x: number, y: number): Float32Array => {
    const [front, ...others] = placesAt(scene, given + t)
    return floats(toNchw(renderFrame(scene, [{ ...front, x, y }, ...others]), { size }))
  }
  return positionErrors(frames, truth, { render })
}

/** Mean and error over clips for each frame. @param values one list of frames for each clip */
const byFrame = (values: readonly (readonly number[])[]): Measured[] =>
  values[0].map((_, t) => meanAndError(values.map((own) => own[t])))

/** Errors of position of predictions and of going on as before. */
const positionsOf = (scenes: readonly MovingScene[], made: HostTensor, given: number) => {
  const errors = scenes.map((scene, n) => errorsOfFront(scene, framesOf(examplesOf(made, n, 1)), given))
  const constant = scenes.map((scene) => {
    const places = placesOf(scene, given + made.shape[2])
    const truth = places.slice(given)
    return goneOn(places, given).map(({ x, y }, t) => Math.hypot(x - truth[t].x, y - truth[t].y))
  })
  return { positionErrorByFrame: byFrame(errors), constantVelocityErrorByFrame: byFrame(constant) }
}

/**
 * Predicts held-out clips, told their classes, and measures the frames that were generated.
 * @throws when the run makes images, or as many frames are given as there are
 */
export const predictHeldOut = async (
  run: OpenedRun,
  source: ImageSource,
  { count, seed, given: asked }: PredictOptions,
): Promise<Predicted> => {
  const { config, model } = run
  const given = asked ?? model.video?.given ?? 0
  if (model.video === undefined || given < 1 || given >= model.frames) {
    throw new Error(
      `prediction: ${given} frames given of ${model.frames}; a run of clips predicts from 1 to ${model.frames - 1}`,
    )
  }
  const indices = evenly(count, source.count)
  const truth = await evenImages(source, count).read(0, indices.length)
  const counts = indices.map(() => given)
  const predictions = await sample(run, {
    facts: indices.map((index) => factsLike(run, source, index)),
    seed,
    sampler: latentSampler(config),
    guidance: { ...configGuidance(config), scale: 1 },
    decoder: decoderSampler(config),
    from: { clips: imageSetOf(truth), counts },
  })
  const after = (clips: HostTensor): HostTensor => framesFrom(clips, given)
  const [came, made] = [after(truth), after(predictions)]
  const repeated = after(givenClips(truth, counts).givenFrames)
  const psnrs = (clips: HostTensor): number[][] => valuesByFrame(psnr, came, clips) ?? []
  const overClips = (frames: readonly (readonly number[])[]): Measured =>
    meanAndError(indices.map((_, n) => mean(frames.map((values) => values[n]))))
  const [own, still] = [psnrs(made), psnrs(repeated)]
  const scenes = isMovingSource(source) ? indices.map((index) => source.scene(index)) : []
  return {
    figures: {
      count: indices.length,
      given,
      psnr: overClips(own),
      repeatedPsnr: overClips(still),
      psnrByFrame: own.map(meanAndError),
      repeatedPsnrByFrame: still.map(meanAndError),
      ...(scenes.length > 0 ? positionsOf(scenes, made, given) : {}),
    },
    truth,
    predictions,
  }
}
