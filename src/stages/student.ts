/**
 * @file A decoder of few steps as a run of its own: everything else, and the teacher, come from the run that train.stage1.from
 * names (`ul distill`).
 */
import { resolve } from 'node:path'
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { plannedExamples } from '../data/batches.ts'
import { countOf, examplesOf, type HostTensor, paddedExamples, stacked } from '../engine/host/tensor.ts'
import { runChain, stepUpdates } from '../method/chain.ts'
import { noisyLatent, tracedDecoderStep } from '../method/codec.ts'
import { imageOf, latentInUse, latentOf } from '../method/config.ts'
import { type Draw, drawnNoise, firstExample, numberedNoise } from '../method/diffusion/draws.ts'
import type { Step } from '../method/diffusion/sampler.ts'
import { batchOfGiven, drawnGivenCounts, type GivenTensors, nothingGiven } from '../method/given.ts'
import { batchShape, type Extent } from '../method/networks/shapes.ts'
import { batchFor, compiledOnUse, inBatches } from '../method/programs.ts'
import { deterministicSteps, studentFeeds, studentObjective } from '../method/student.ts'
import { partsOfVariant } from '../method/variants.ts'
import { choicesOf } from '../model/choices.ts'
import { networkWeights } from '../model/networks.ts'
import { configGuidance, latentSampler } from '../model/samplers.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { encoderKey } from './encoderKey.ts'
import { reconstructShown, stepImages, trainingPlan } from './images.ts'
import { trainingLatents } from './latents.ts'
import { meanOf, type OpenStage, type Stage, type StageContext, type StageSettings } from './stage.ts'
import { partsPerBatch } from './stageStep.ts'

const name = 'student'

/** Of weights that are trained already: this share of stage 1's learning rate. */
export const lrShare = 0.25

/** Generated latents have errors of their own, which a student should meet, too: this share where there is a base model. */
export const usualShare = 0.25

/** What a student is to learn, and how. */
export interface Lesson {
  /** The teacher's run, seen from the student's directory. */
  readonly from: string
  /** N, the student's steps. */
  readonly steps: number
  /** K; when absent as many as the teacher's run decodes with, at least twice the student's. */
  readonly teacherSteps?: number | undefined
  /** Share of latents from the base model. */
  readonly generated: number
  readonly trainSteps: number
  readonly batch: number
  /** `lrShare` of stage 1's when absent. */
  readonly lr?: number | undefined
}

/** The configuration of a student's run. @param teacher that of the run that teaches it */
export const studentConfig = (teacher: Config, lesson: Lesson): Config => {
  const { name: of, train, sampler } = teacher
  const { from, steps, generated, trainSteps, batch } = lesson
  const teacherSteps = steps * Math.max(2, Math.ceil(sampler.decoderSteps / steps))
  const { lr = lrShare * train.lr } = lesson
  return {
    ...teacher,
    name: `${of}-${steps}step`,
    train: {
      ...train,
      stage1: { ...train.stage1, from },
      stages: { [name]: { steps: trainSteps, emaDecay: 0.995, batch, lr } },
    },
    student: { steps, teacherSteps: lesson.teacherSteps ?? teacherSteps, generated },
    sampler: { ...sampler, decoderKind: 'ddim', decoderSteps: steps },
  }
}

const settingsOf = ({ train }: Config): StageSettings | undefined => train.stages?.[name]

/** Latents that the base model generates once; each is decoded from many noises. */
const generatedLatents = 512

/** Noisy latents z_0 [N, c, h, w] of a step, and of clips what is given of them. */
type Latents = { readonly z0: HostTensor } & GivenTensors

/** The teacher's decoder, taken along its chain. */
const openTeacher = ({ runtime, model }: StageContext, teacher: OpenedRun, batch: number) => {
  const B = batchFor(batch, imageOf(model))
  const shape = batchShape(imageOf(model), B)
  const program = compiledOnUse(
    runtime,
    () => tracedDecoderStep(model, teacher.autoencoder(), B),
    stepUpdates,
  )
  return {
    /** x after `steps` from x_t [N, 3, H, W]. */
    follow: (steps: readonly Step[], xT: HostTensor, { z0, ...given }: Latents): Promise<HostTensor> =>
      inBatches(countOf(xT), B, (from) =>
        runChain(
          runtime,
          { steps, shape, seed: 0, name, first: 0, start: paddedExamples(xT, from, B) },
          { z0: paddedExamples(z0, from, B), ...batchOfGiven(model, given, from, B) },
          () => ({ program, feeds: {} }),
        ),
      ),
    dispose: () => program.dispose(),
  }
}

/** The same of each tensor. */
const mapTensors = (latents: Latents, of: (tensor: HostTensor, key: keyof Latents) => HostTensor): Latents =>
  Object.fromEntries(
    Object.entries(latents).map(([key, tensor]) => [key, of(tensor, key as keyof Latents)]),
  ) as Latents

/** Latents z_0 that the run generates, of everything that it can be asked for in turn; other ones than it is measured by. */
const generated = async ({ config, model }: StageContext, teacher: OpenedRun): Promise<HostTensor> => {
  const choices = choicesOf(teacher)
  const generator = teacher.generator(batchFor(generatedLatents, imageOf(model)))
  const z0 = await generator.generate({
    facts: Array.from({ length: generatedLatents }, (_, i) => choices[i % choices.length].facts),
    seed: config.seed + 1,
    sampler: latentSampler(config),
    guidance: configGuidance(config),
  })
  await generator.dispose()
  return z0
}

/** Clean latents of training examples, and of clips what is given of them. */
interface Encoded {
  read(draw: Draw): Promise<{ readonly z: HostTensor } & GivenTensors>
  close(): Promise<void>
}

/** Those of images are encoded once. */
const ofImages = async (context: StageContext, teacher: OpenedRun): Promise<Encoded> => {
  const { config, model, source } = context
  const codec = teacher.codec(batchFor(source.count, imageOf(model)))
  const latents = await trainingLatents(context, name, teacher, codec)
  await codec.dispose()
  const plan = trainingPlan(context, config.seed + 1)
  return {
    read: async ({ step, part }) => ({ z: latents.read(plannedExamples(plan, step, part)) }),
    close: async () => latents.close(),
  }
}

/** Those of clips as they come: the decoder is given frames themselves, too, which are not kept. */
const ofClips = (context: StageContext, teacher: OpenedRun): Encoded => {
  const { config, model } = context
  const { batch } = settingsOf(config)!
  const codec = teacher.codec(batchFor(batch, imageOf(model)))
  const clips = stepImages(context, batch, config.seed + 1)
  return {
    read: async (draw) => {
      const x = await clips.read(draw.step, draw.part)
      const given = await codec.give(x, drawnGivenCounts(model, draw))
      return { z: await codec.encode(x, config.seed, firstExample(draw)), ...given }
    },
    close: async () => {
      await clips.close()
      await codec.dispose()
    },
  }
}

/** The latents z_0 of a step: those of training examples with new noise, and a share that the base model generated from nothing. */
const openLatents = async (context: StageContext, teacher: OpenedRun, share: number) => {
  const { model, listen } = context
  const encoded = await (model.video === undefined ? ofImages : ofClips)(context, teacher)
  if (share > 0) listen({ event: 'note', text: `${name}: generating ${generatedLatents} latents` })
  const pool = share > 0 ? await generated(context, teacher) : null
  return {
    read: async (draw: Draw): Promise<Latents> => {
      const { step, part } = draw
      const { z, ...given } = await encoded.read(draw)
      const z0 = noisyLatent(z, drawnNoise(draw, 'z0Eps', z.shape.slice(1)), latentInUse(model).logSnr0)
      const own: Latents = { z0, ...given }
      if (pool === null) return own
      const ofPool = Math.round(share * part.of)
      const examples = Array.from({ length: part.count }, (_, i): Latents => {
        const number = part.first + i
        if (number >= ofPool) return mapTensors(own, (tensor) => examplesOf(tensor, i, 1))
        const made = examplesOf(pool, (step * ofPool + number) % generatedLatents, 1)
        return { z0: made, ...nothingGiven(model, 1) }
      })
      return mapTensors(own, (_, key) => stacked(examples.map((one) => one[key]!)))
    },
    close: () => encoded.close(),
  }
}

const open = async (context: StageContext): Promise<OpenStage> => {
  const { config, model, leaving, dir, together } = context
  const { student, train, seed } = config
  const { batch } = settingsOf(config)!
  const { steps, teacherSteps, generated: share } = student!
  const teacher = openRun(resolve(dir, train.stage1.from!), leaving, context.warn)
  if (share > 0 && !teacher.generates) {
    throw new ConfigError(
      `student.generated is ${share}, but ${train.stage1.from} generates no latents: its base model is not trained; train that, or set student.generated=0`,
    )
  }
  const [own, teachers] = [deterministicSteps(model, steps), deterministicSteps(model, teacherSteps)]
  const latents = await openLatents(context, teacher, share)
  const decoder = openTeacher(context, teacher, batch / partsPerBatch(config, studentDecoder, together.size))
  const pixels = batchShape(imageOf(model), 1).slice(1)
  return {
    trainedOn: encoderKey(teacher),
    start: networkWeights(teacher.autoencoder(), 'decoder'),
    feeds: async (step, part) => {
      const draw: Draw = { seed, purpose: 'training', step, part }
      const given = await latents.read(draw)
      // One step of the student's after the other, each with its part of the teacher's.
      const [segment, each] = [step % steps, teacherSteps / steps]
      const noise = drawnNoise(draw, 'xT', pixels)
      const xT = await decoder.follow(teachers.slice(0, segment * each), noise, given)
      const xS = await decoder.follow(teachers.slice(segment * each, (segment + 1) * each), xT, given)
      return studentFeeds(model, own[segment], { xT, xS, ...given }, draw)
    },
    metrics: ({ squared }) => ({ teacherError: Math.sqrt(meanOf(squared)) }),
    warning: () => null,
    inspect: async (weights, step) => ({
      psnr: await reconstructShown(
        context,
        { ...teacher.autoencoder(), ...weights },
        { stage: name, step, name },
      ),
    }),
    close: async () => {
      await latents.close()
      await decoder.dispose()
    },
  }
}

const applies = (config: Config): boolean => {
  const { space, distortion } = partsOfVariant(config.variant)
  return (
    config.student !== undefined &&
    settingsOf(config) !== undefined &&
    space.isLearned &&
    !distortion.isOneStep
  )
}

/** The student. */
export const studentDecoder: Stage = {
  name,
  flag: name,
  networks: ['decoder'],
  applies,
  trains: applies,
  settings: (config) => settingsOf(config)!,
  objective: studentObjective,
  madeUpFeeds: (model, batch, seed) => {
    const [image, latent] = [imageOf(model), latentOf(model)]
    const made = (of: string, extent: Extent): HostTensor =>
      numberedNoise(batchShape(extent, batch), 0, of, 0)
    const all = { xT: made('xT', image), xS: made('xS', image), z0: made('z0', latent) }
    return (step, part) => {
      const own = (given: HostTensor): HostTensor => examplesOf(given, part.first, part.count)
      const none = nothingGiven(model, part.count)
      const given = { xT: own(all.xT), xS: own(all.xS), z0: own(all.z0), ...none }
      const draw: Draw = { seed, purpose: 'training', step, part }
      return studentFeeds(model, deterministicSteps(model, 1)[0], given, draw)
    }
  },
  curves: [
    { title: 'Distance from the teacher', metric: 'teacherError', unit: 'rms of [−1, 1]', logY: true },
    { title: 'Validation PSNR while training', metric: 'psnr', unit: 'dB' },
  ],
  open,
}
