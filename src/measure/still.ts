/** @file What time costs a run of clips: the rate of a clip in which nothing moves, against that of one image of it. */

import type { ImageSource } from '../data/images/source.ts'
import { framesFrom } from '../engine/host/clips.ts'
import { countOf, type HostTensor } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { imageOf, type ModelConfig } from '../method/config.ts'
import { createTermsEstimator } from '../method/evaluate.ts'
import { givenClips } from '../method/given.ts'
import { batchFor } from '../method/programs.ts'
import type { StillRate } from '../metrics/figures.ts'
import { mean, meanAndError } from '../metrics/mean.ts'
import { evenImages } from '../use/evenly.ts'
import type { OpenedRun } from '../use/openRun.ts'

/** Bits of each of a set of clips by a model of as many frames. */
const bitsOf = async (
  runtime: Runtime,
  model: ModelConfig,
  run: OpenedRun,
  clips: HostTensor,
  options: { readonly draws: number; readonly seed: number },
): Promise<number[]> => {
  const count = countOf(clips)
  const estimator = createTermsEstimator(runtime, model, run.autoencoder(), batchFor(count, imageOf(model)))
  const terms = await estimator.terms(clips, { first: 0, count, of: count }, options)
  await estimator.dispose()
  return [...terms.priorNats].map((nats, i) => (nats + terms.terminalNats[i]) / Math.LN2)
}

/** Clips that are measured at most, and times and noises for each. */
const [clipsAtMost, draws] = [32, 8]

/**
 * The rate of held-out clips of which the first frame stands still to the end, and of that frame as the shortest clip that there
 * is, of one latent frame: what an image is to a model of clips. Absent for a run of images.
 */
export const stillRate = async (
  run: OpenedRun,
  runtime: Runtime,
  source: ImageSource,
  seed: number,
): Promise<{ readonly still?: StillRate }> => {
  const { model } = run
  if (model.video === undefined) return {}
  const frames = model.video.downsample
  const set = evenImages(source, clipsAtMost)
  const clips = await set.read(0, set.count)
  const options = { draws, seed }
  const still = givenClips(
    clips,
    Array.from({ length: countOf(clips) }, () => 1),
  ).givenFrames
  const clipBits = await bitsOf(runtime, model, run, still, options)
  const imageBits = await bitsOf(
    runtime,
    { ...model, frames },
    run,
    framesFrom(still, model.frames - frames),
    options,
  )
  return {
    still: {
      count: set.count,
      clipBits: meanAndError(clipBits),
      imageBits: meanAndError(imageBits),
      ratio: mean(clipBits) / mean(imageBits),
    },
  }
}
