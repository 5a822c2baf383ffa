/** @file Settings that are valid one by one but impossible together, found before anything is read or written. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../config/load.ts'
import { type Config, modelConfig } from '../config/schema.ts'
import { expectFrames, expectSource, expectStride, pathWords } from '../data/open.ts'
import { input, type Value } from '../engine/ir/graph.ts'
import { flattenSpec } from '../engine/nn/params.ts'
import { imageChannels, patchChannels } from '../method/networks/shapes.ts'
import { partsOfVariant } from '../method/variants.ts'
import { runFolders } from '../runs/files.ts'
import { expectSameRun } from '../runs/runDirectory.ts'
import type { Objective } from '../train/objective.ts'
import { decoderAlone } from './decoderAlone.ts'
import { stages, stagesOf } from './list.ts'
import { partsPerBatch } from './stageStep.ts'

/** The loss of an objective, traced and not run. @throws when the shapes of its networks do not fit. */
export const traceLoss = (objective: Objective): Value => {
  const inputs = Object.fromEntries(
    Object.entries(objective.inputs).map(([name, { shape, dtype }]) => [name, input(name, shape, dtype)]),
  )
  const shapes = new Map(flattenSpec(objective.spec).map(({ path, spec }) => [path, spec.shape]))
  return objective.trace((path) => input(path, shapes.get(path)!), inputs).loss
}

/** Height and width of images, in pixels. */
const [smallest, largest] = [4, 2048]

const expectSize = (size: number): void => {
  if (size < smallest || size > largest) {
    throw new ConfigError(`data.size is ${size}; set a whole number of pixels from ${smallest} to ${largest}`)
  }
}

/** @throws ConfigError when the networks do not fit each other or the images. */
export const expectShapes = (config: Config): void => {
  const { name, data } = config
  expectSize(data.size)
  const model = modelConfig(config, 1) // the number of classes changes no other shape
  try {
    for (const stage of stagesOf(config)) traceLoss(stage.objective(model, 1))
  } catch (cause) {
    throw new ConfigError(`${name}: ${(cause as Error).message}`, { cause })
  }
}

/** What is said of a value, said of the key that it has in a configuration. */
const inConfig = (key: string, check: () => void): void => {
  try {
    check()
  } catch (cause) {
    throw new ConfigError(`${key}: ${(cause as Error).message}`, { cause })
  }
}

/** @throws ConfigError when a data set cannot be opened as asked: without its path, or at an impossible size or number of frames. */
export const expectData = ({ source, path, size, frames, stride = 1 }: Config['data']): void => {
  expectSize(size)
  inConfig('data.source', () => expectSource(source))
  inConfig('data.frames', () => expectFrames(source, frames))
  inConfig('data.stride', () => expectStride(source, stride))
  const isNamed = path !== null && path !== ''
  const words = pathWords(source)
  if (words === undefined && isNamed) {
    throw new ConfigError(
      `data.source is ${source}, which takes no path, but data.path is "${path}"; leave it out`,
    )
  }
  if (words !== undefined && !isNamed) {
    throw new ConfigError(
      `data.source is ${source}, but data.path is missing; give ${words} by --set data.path=PATH (ul data: --path PATH)`,
    )
  }
}

/** @throws ConfigError when a configuration names a stage that there is not. */
const expectStages = ({ name, train }: Config): void => {
  const known = stages.map((stage) => stage.name)
  const unknown = Object.keys(train.stages ?? {}).find((stage) => !known.includes(stage))
  if (unknown === undefined) return
  throw new ConfigError(
    `${name}: train.stages has '${unknown}', but there is no such stage; stages are ${known.join(', ')}`,
  )
}

/** @throws ConfigError when a student is asked for that nobody can teach. */
const expectStudent = ({ student, train, variant }: Config): void => {
  const { space, distortion } = partsOfVariant(variant)
  const settings = train.stages?.student
  if (student === undefined && settings === undefined) return
  if (student === undefined || settings === undefined) {
    const [has, lacks] =
      student === undefined ? ['train.stages.student', 'student'] : ['student', 'train.stages.student']
    throw new ConfigError(`${has} is set, but ${lacks} is not; set both, or none (ul distill sets them)`)
  }
  if (train.stage1.from === null) {
    throw new ConfigError(
      `student has ${student.steps} steps, but train.stage1.from names no run that teaches it; use 'ul distill RUN'`,
    )
  }
  if (student.teacherSteps % student.steps !== 0) {
    throw new ConfigError(
      `student.teacherSteps is ${student.teacherSteps}, which is not a multiple of student.steps ${student.steps}; change one of them`,
    )
  }
  if (!space.isLearned || distortion.isOneStep) {
    throw new ConfigError(
      `student: ${space.isLearned ? `a decoder with variant.decoder=${variant.decoder} takes one step already` : 'pixels (variant.encoder) have no decoder'}, so there is nothing to teach; distil a run with a diffusion decoder`,
    )
  }
}

/** @throws ConfigError when frames and the time axis do not fit, or what is asked of clips works for images alone. */
const expectVideo = ({ name, data, video, variant, base, sampler, train }: Config): void => {
  if (video === undefined) {
    const ofClips = [
      ...(base.givenDropout === undefined ? [] : ['base.givenDropout']),
      ...(sampler.givenGuidance === undefined ? [] : ['sampler.givenGuidance']),
    ]
    if (ofClips.length > 0)
      throw new ConfigError(
        `${name}: ${ofClips[0]} is of clips, but there is no time axis; leave it out, or set video`,
      )
    if (data.frames === 1) return
    throw new ConfigError(
      `${name}: data.frames is ${data.frames}, but there is no time axis; set video too, as the preset moving does, or data.frames=1`,
    )
  }
  if (data.frames % video.downsample !== 0 || data.frames === 1) {
    throw new ConfigError(
      `data.frames is ${data.frames}, but clips are a multiple of video.downsample ${video.downsample}, and more than one frame; change one of them`,
    )
  }
  if (video.kernel % 2 === 0) {
    throw new ConfigError(`video.kernel is ${video.kernel}; set an odd number of frames, such as 3`)
  }
  if (video.given >= data.frames) {
    throw new ConfigError(
      `video.given is ${video.given}, but clips have ${data.frames} frames, of which one at least must be generated; set ${data.frames - 1} or fewer`,
    )
  }
  const forImages = [
    ...(partsOfVariant(variant).space.isLearned ? [] : [`variant.encoder=${variant.encoder}`]),
    ...(train.stages?.[decoderAlone.name] === undefined ? [] : [`train.stages.${decoderAlone.name}`]),
  ]
  if (forImages.length > 0)
    throw new ConfigError(`${name}: ${forImages[0]} works for images only so far; leave it or video out`)
}

/** @throws ConfigError for what cannot train in so many processes, whatever the data. */
export const expectTrainable = (config: Config, processes: number = 1): void => {
  const { latent, variant, sampler } = config
  expectStages(config)
  expectStudent(config)
  for (const stage of stagesOf(config)) partsPerBatch(config, stage, processes)
  expectVideo(config)
  const { isLearned } = partsOfVariant(variant).space
  const perBlock = patchChannels(imageChannels, latent.downsample)
  if (!isLearned && latent.channels !== perBlock) {
    throw new ConfigError(
      `latent.channels is ${latent.channels}, but pixels (variant.encoder) fill 3·latent.downsample² channels; set latent.channels=${perBlock}`,
    )
  }
  if (sampler.generator === 'prior' && (!isLearned || variant.prior === 'normal')) {
    throw new ConfigError(
      `sampler.generator is prior, but ${isLearned ? 'variant.prior=normal' : 'variant.encoder=pixels'} trains none; set sampler.generator=base`,
    )
  }
  if (variant.prior === 'normal' && variant.klWeight === 0) {
    throw new ConfigError(
      `variant.prior is normal and variant.klWeight 0, so nothing would charge for the latent; set variant.klWeight=1 (the ELBO) or less`,
    )
  }
  if (variant.priorBias !== null && variant.prior === 'normal') {
    throw new ConfigError(
      `variant.priorBias is ${variant.priorBias}, but weighs a diffusion prior and variant.prior is normal; set one of them back`,
    )
  }
  expectShapes(config)
}

/** A run that is to be made. */
interface PlannedRun {
  readonly dir: string
  readonly config: Config
}

/**
 * Checks runs before the first of them starts.
 * @param isDone whether a run is finished, so that its data is not needed
 * @throws ConfigError naming the first that cannot train, lacks its data, or whose directory holds another run
 */
export const expectRunnable = <Run extends PlannedRun>(
  runs: readonly Run[],
  isDone: (run: Run) => boolean,
): void => {
  for (const run of runs) {
    const { dir, config } = run
    const done = isDone(run)
    if (done || existsSync(join(dir, runFolders.checkpoints))) expectSameRun(dir, config)
    if (done) continue
    const { path } = config.data
    try {
      expectTrainable(config)
      expectData(config.data)
      if (path && !existsSync(path))
        throw new ConfigError(
          `data.path "${path}" does not exist; correct that value, or put the images there`,
        )
    } catch (cause) {
      throw new ConfigError(`${dir}: ${(cause as Error).message}`, { cause })
    }
  }
}
