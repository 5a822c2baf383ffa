/** @file A run of clips from files to its report: trained, resumed, predicted, sampled, encoded and decoded. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { beforeAll, expect, it } from 'vitest'
import { applySettings } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { plannedExample, readExamples } from '../../src/data/batches.ts'
import { isMovingSource, openData, placesAt } from '../../src/data/open.ts'
import { alone } from '../../src/distributed/collective.ts'
import { framesFrom, framesOf, framesUntil, inTime } from '../../src/engine/host/clips.ts'
import { wholeBatch } from '../../src/engine/host/part.ts'
import {
  examplesOf,
  float32,
  floats,
  type HostTensor,
  sizeOf,
  stacked,
} from '../../src/engine/host/tensor.ts'
import { predictHeldOut } from '../../src/measure/predict.ts'
import { evaluate } from '../../src/measure/reconstruct.ts'
import type { Draw } from '../../src/method/diffusion/draws.ts'
import { imageSetOf } from '../../src/method/programs.ts'
import type { Measured } from '../../src/metrics/figures.ts'
import type { Position } from '../../src/metrics/position.ts'
import { networkWeights } from '../../src/model/networks.ts'
import { configGuidance, decoderSampler, latentSampler } from '../../src/model/samplers.ts'
import { writeClip } from '../../src/report/clip.ts'
import { readMetrics } from '../../src/runs/metrics.ts'
import { evaluationIn } from '../../src/runs/results.ts'
import { trainingPlan } from '../../src/stages/images.ts'
import { keptGivenCounts } from '../../src/stages/latents.ts'
import { openStepLatents } from '../../src/stages/stepLatents.ts'
import { studentConfig } from '../../src/stages/student.ts'
import { train } from '../../src/stages/train.ts'
import { evenly } from '../../src/use/evenly.ts'
import { factsLike } from '../../src/use/facts.ts'
import { openExamples, readGiven } from '../../src/use/images.ts'
import { decodeFile, encodeToFile } from '../../src/use/latentFiles.ts'
import { type OpenedRun, openRun } from '../../src/use/openRun.ts'
import { openRunData } from '../../src/use/runData.ts'
import { sample } from '../../src/use/sample.ts'
import { writeFiles } from '../data/temporary.ts'
import { runDir, runtime, tinyConfigOf, trainTiny, workFolder } from './tinyRun.ts'

const [size, frames, given] = [16, 8, 3]
const folder = join(workFolder, 'squares')

/** A square of its own colour that goes its own way: [1, 3, 10, 16, 16]. */
const squareClip = (i: number, across: boolean): HostTensor => {
  const T = 10
  const data = new Float32Array(3 * T * size * size).fill(-0.5)
  for (let t = 0; t < T; t++)
    for (let c = 0; c < 3; c++)
      for (let a = 0; a < 4; a++)
        for (let b = 0; b < 4; b++) {
          const [along, beside] = [Math.min(t, 12) + a, (i % 12) + b]
          const [y, x] = across ? [beside, along] : [along, beside]
          data[((c * T + t) * size + y) * size + x] = c === i % 3 ? 1 : -1 + (i % 5) / 4
        }
  return float32([1, 3, T, size, size], data)
}

const configOf = (...settings: string[]): Config =>
  tinyConfigOf(
    'data.source=clips',
    `data.path=${folder}`,
    `data.frames=${frames}`,
    ...['downsample=4', 'kernel=3', 'attention=factorised', `given=${given}`, 'givenShare=0.5'].map(
      (setting) => `video.${setting}`,
    ),
    'train.logEvery=1',
    ...settings,
  )

beforeAll(async () => {
  // An empty list of files makes the folders.
  await writeFiles(folder, { 'across/.keep': new Uint8Array(), 'down/.keep': new Uint8Array() })
  for (let i = 0; i < 12; i++) {
    await writeClip(join(folder, `across/${i}.webp`), squareClip(i, true), { scale: 1, gap: 0 })
    await writeClip(join(folder, `down/${i}.webp`), squareClip(i, false), { scale: 1, gap: 0 })
  }
})

it('is trained, measured and shown', async () => {
  const { result } = await trainTiny('clips', configOf())
  const figures = result.evaluation!
  expect(evaluationIn(runDir('clips'))).toEqual(figures)
  const { prediction, bitsPerPixelByFrame = [], still } = figures
  expect(prediction).toMatchObject({ given, count: figures.count })
  expect(prediction?.psnrByFrame).toHaveLength(frames - given)
  expect(prediction?.repeatedPsnrByFrame).toHaveLength(frames - given)
  // Squares move on: what repeats the last frame gets worse.
  const repeated = prediction!.repeatedPsnrByFrame.map(({ mean }) => mean)
  expect(repeated).toEqual(repeated.toSorted((a, b) => b - a))
  // The rate is that of its latent frames, which stand for equally many.
  expect(bitsPerPixelByFrame).toHaveLength(2)
  const mean = bitsPerPixelByFrame.reduce((sum, own) => sum + own.mean, 0) / 2
  expect(mean / figures.bitsPerPixel.mean).toBeCloseTo(1, 6)
  expect(still!.ratio).toBeCloseTo(still!.clipBits.mean / still!.imageBits.mean, 10)

  const webp = await sharp(join(runDir('clips'), 'samples/predictions.webp')).metadata()
  expect(webp.pages).toBe(frames)
  expect(existsSync(join(runDir('clips'), 'samples/predictions.png'))).toBe(true)
  const report = readFileSync(join(runDir('clips'), 'report.html'), 'utf8')
  for (const part of [
    'data:image/webp;base64,',
    'Predicted frames',
    'Rate over time',
    `which ${given} frames were given`,
  ])
    expect(report).toContain(part)

  const run = openRun(runDir('clips'), runtime)
  const again = await evaluate(runDir('clips'), run, runtime, { count: figures.count, seed: run.config.seed })
  expect({ ...again, imagesPerSecond: 0 }).toEqual({ ...figures, imagesPerSecond: 0 })
})

it('predicts every clip several times, and measures single draws and their mean', async () => {
  const run = openRun(runDir('clips'), runtime)
  const { validation: source } = await openRunData(run.config)
  const seed = 3
  const { figures, truth, predictions } = await predictHeldOut(run, source, { count: 3, seed })
  const { count, draws = 0 } = figures
  expect([count, draws]).toEqual([Math.min(3, source.count), 8])
  const indices = evenly(3, source.count)
  const all = <T>(values: readonly T[]): T[] => Array.from({ length: draws }, () => values).flat()
  const drawn = await sample(run, {
    facts: all(indices.map((index) => factsLike(run, source, index))),
    seed,
    sampler: latentSampler(run.config),
    guidance: { ...configGuidance(run.config), scale: 1 },
    decoder: decoderSampler(run.config),
    from: { clips: imageSetOf(stacked(all([truth]))), counts: all(indices.map(() => given)) },
  })
  expect(floats(predictions)).toEqual(floats(examplesOf(drawn, 0, count)))
  // Frame by frame, from the pixels alone: 20·lg 2 for numbers from −1 to 1.
  const each = sizeOf(truth.shape.slice(1))
  const clip = each / 3 / frames
  const db = (n: number, t: number, value: (at: number) => number): number => {
    let error = 0
    for (let c = 0; c < 3; c++)
      for (let i = 0; i < clip; i++) {
        const at = (c * frames + t) * clip + i
        error += (value(at) - floats(truth)[n * each + at]) ** 2 / 3 / clip
      }
    return 20 * Math.log10(2) - 10 * Math.log10(error)
  }
  const pixel = (draw: number, n: number, at: number): number => floats(drawn)[(draw * count + n) * each + at]
  const numbers = Array.from({ length: draws }, (_, draw) => draw)
  const average = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length
  const clips = indices.map((_, n) => n)
  for (const [i, { mean }] of figures.psnrByFrame.entries()) {
    const of = clips.flatMap((n) => numbers.map((draw) => db(n, given + i, (at) => pixel(draw, n, at))))
    expect(mean).toBeCloseTo(average(of), 4)
    const expected = clips.map((n) =>
      db(n, given + i, (at) => average(numbers.map((draw) => pixel(draw, n, at)))),
    )
    expect(figures.expectedPsnrByFrame![i].mean).toBeCloseTo(average(expected), 4)
  }
})

it('says how far from its place is what goes on as before, and what stays where it was', async () => {
  const run = openRun(runDir('clips'), runtime)
  const { validation } = await openData({ ...run.config.data, source: 'moving', path: null })
  if (!isMovingSource(validation)) throw new Error('moving has no scenes')
  const source = { ...validation, label: () => 0 } // a class that the run knows
  const { figures } = await predictHeldOut(run, source, { count: 3, seed: 0, givenGuidance: 2 })
  expect(figures.guidance).toBe(2)
  const scenes = evenly(3, validation.count).map((index) => validation.scene(index))
  const errorOf = (from: (at: (t: number) => Position, ahead: number) => Position): number[] =>
    Array.from({ length: frames - given }, (_, ahead) => {
      const far = scenes.map((scene) => {
        const at = (t: number): Position => placesAt(scene, t)[0]
        const [there, said] = [at(given + ahead), from(at, ahead)]
        return Math.hypot(there.x - said.x, there.y - said.y)
      })
      return far.reduce((sum, value) => sum + value, 0) / far.length
    })
  const stayed = errorOf((at) => at(given - 1))
  const wentOn = errorOf((at, ahead) => {
    const [before, last] = [at(given - 2), at(given - 1)]
    return { x: last.x + (1 + ahead) * (last.x - before.x), y: last.y + (1 + ahead) * (last.y - before.y) }
  })
  const meansOf = (values?: readonly Measured[]): number[] | undefined => values?.map(({ mean }) => mean)
  expect(meansOf(figures.repeatedPositionErrorByFrame)).toEqual(stayed.map((x) => expect.closeTo(x, 6)))
  expect(meansOf(figures.constantVelocityErrorByFrame)).toEqual(wentOn.map((x) => expect.closeTo(x, 6)))
})

it('goes on after it was stopped in either stage, to the same bits', async () => {
  const stopped = async (stage: string): Promise<void> => {
    const controller = new AbortController()
    const { finished } = await train({
      ...{ config: configOf(), dir: runDir('stopped'), stage: 'all', runtime, signal: controller.signal },
      listen: (event) => {
        if (event.event === 'step' && event.stage === stage && event.step === 2) controller.abort()
      },
    })
    expect(finished).toBe(false)
  }
  await stopped('stage1')
  await stopped('stage2')
  await trainTiny('stopped', configOf())
  const [whole, resumed] = ['clips', 'stopped'].map((name) => openRun(runDir(name), runtime))
  expect(resumed.autoencoder()).toEqual(whole.autoencoder())
  expect(resumed.base()).toEqual(whole.base())
})

const difference = (a: HostTensor, b: HostTensor): number =>
  Math.max(...floats(a).map((value, i) => Math.abs(value - floats(b)[i])))

it('keeps latents of clips and of what is given of them, each as by hand, and trains on from them to the same bits', async () => {
  const kept = configOf('train.stage2.latents=kept', 'train.stage2.givenShare=0.7', 'video.imageShare=0.4')
  await trainTiny('kept', kept)
  const run = openRun(runDir('kept'), runtime)
  const { config, model } = run
  const { train: source } = await openRunData(config)
  const context = { config, model, source, dir: runDir('kept'), listen: () => {}, together: alone }
  const plan = trainingPlan(context, config.seed)
  const codec = run.codec(4)
  const examples = [0, 7, 13, 19].map((index, i) => ({ index, mirrored: i % 2 === 1 }))
  const stored = await openStepLatents(context, run, codec)
  const draw: Draw = { seed: 0, purpose: 'training', step: 0, part: wholeBatch(4) }
  const seen = examples.map((own) =>
    plannedExample(plan, own.index + Number(own.mirrored) * source.count, own),
  )
  const { z, givenZ, givenMask } = await stored.read(draw, seen)
  const counts = keptGivenCounts(context, examples)
  const x = await readExamples(source, seen)
  const given = await codec.give(x, counts)
  expect(difference(z, await codec.encode(x))).toBeLessThan(1e-5)
  expect(difference(givenZ!, given.givenZ!)).toBeLessThan(1e-5)
  expect(givenMask).toEqual(given.givenMask)
  // Of 40 examples some are given nothing, some the usual number and some another one; some stand still.
  const all = Array.from({ length: source.count }, (_, index) => [
    { index, mirrored: false },
    { index, mirrored: true },
  ]).flat()
  const numbers = keptGivenCounts(context, all)
  expect(new Set(numbers).size).toBeGreaterThan(3)
  expect(numbers.filter((count) => count === 0).length / all.length).toBeCloseTo(0.3, 0)
  await stored.close()
  await codec.dispose()
  expect(model.video?.imageShare).toBe(0.4)
  const before = run.base()
  rmSync(join(runDir('kept'), 'checkpoints', 'stage2-000000004'), { recursive: true })
  await trainTiny('kept', kept)
  expect(openRun(runDir('kept'), runtime).base()).toEqual(before)
})

it('goes on beyond its own length, each window given the end of the one before', async () => {
  const run = openRun(runDir('clips'), runtime)
  const { config, model } = run
  const facts = [{ label: 0 }, { label: 1 }]
  const own = { facts, seed: 1, sampler: latentSampler(config), guidance: configGuidance(config) }
  const [request, overlap] = [{ ...own, decoder: decoderSampler(config) }, 3]
  const long = await sample(run, { ...request, windows: { frames: 15, overlap } })
  expect(long.shape).toEqual([2, 3, 15, size, size])
  const first = await sample(run, request)
  expect(framesUntil(long, frames)).toEqual(first)
  // The second window by hand: samples are numbered after those of the first.
  const [generator, codec] = [run.generator(2), run.codec(2)]
  const after = async (clips: HostTensor, window: number): Promise<HostTensor> => {
    const end = framesFrom(clips, clips.shape[2] - overlap)
    const begun = inTime([
      end,
      float32([2, 3, frames - overlap, size, size], new Float32Array(2 * 3 * (frames - overlap) * size ** 2)),
    ])
    const given = await codec.give(begun, [overlap, overlap])
    const z0 = await generator.generate({ ...own, first: 2 * window, given })
    return framesFrom(await codec.decode(z0, 1, request.decoder, 2 * window, given), overlap)
  }
  const second = await after(first, 1)
  expect(second.shape[2]).toBe(frames - overlap)
  const two = inTime([first, second])
  expect(framesUntil(long, 13)).toEqual(two)
  expect(long).toEqual(framesUntil(inTime([two, await after(two, 2)]), 15))
  await generator.dispose()
  await codec.dispose()
  // Where one window is enough, it is cut.
  expect(await sample(run, { ...request, windows: { frames: 5, overlap } })).toEqual(framesUntil(first, 5))
  expect(model.frames).toBe(frames)
})

it('samples clips, and clips that begin as a file does', async () => {
  const run = openRun(runDir('clips'), runtime)
  const { config } = run
  const clip = await readGiven(join(folder, 'across/3.webp'), config.data, given)
  const request = {
    facts: [{ label: 0 }, { label: 1 }],
    seed: 1,
    sampler: latentSampler(config),
    guidance: configGuidance(config),
    decoder: decoderSampler(config),
  }
  const twice = {
    count: 2,
    read: async (_: number, n: number) =>
      float32([n, ...clip.shape.slice(1)], Array.from({ length: n }, () => [...floats(clip)]).flat()),
  }
  const made = await sample(run, { ...request, from: { clips: twice, counts: [given, given] } })
  expect(made.shape).toEqual([2, 3, frames, size, size])
  const [source, own] = [framesOf(clip), framesOf(made)]
  for (const n of [0, 1])
    for (let t = 0; t < frames; t++) {
      const [there, here] = [examplesOf(source, t, 1), examplesOf(own, n * frames + t, 1)].map(floats)
      if (t < given) expect(here).toEqual(there)
      else expect(here).not.toEqual(there)
    }
  const free = await sample(run, request)
  expect(free.shape).toEqual(made.shape)
  expect(examplesOf(framesOf(free), 0, 1)).not.toEqual(examplesOf(source, 0, 1))
})

it('encodes files of clips and decodes them, and says what is no clip', async () => {
  const run = openRun(runDir('clips'), runtime)
  const files = [join(folder, 'across/0.webp'), join(folder, 'down')]
  const clips = await openExamples(run.config, files)
  expect(clips.count).toBe(13)
  expect((await clips.read(0, 2)).shape).toEqual([2, 3, frames, size, size])
  const out = join(workFolder, 'clips.safetensors')
  await encodeToFile(run, clips, 0, out)
  const shapes: (readonly number[])[] = []
  for await (const { images } of decodeFile(run, out, { seed: 0, sampler: decoderSampler(run.config) }))
    shapes.push(images.shape)
  expect(shapes).toEqual([[13, 3, frames, size, size]])
  const short = join(workFolder, 'short.webp')
  await writeClip(short, examplesOf(squareClip(1, true), 0, 1), { scale: 1, gap: 0 })
  await expect(
    openExamples({ ...run.config, data: { ...run.config.data, frames: 12 } }, [short]),
  ).rejects.toThrow(/has 10 frames, fewer than the 12/)
})

it('teaches a decoder of one step, with and without given frames', async () => {
  const lesson = { from: join('..', 'clips'), steps: 1, teacherSteps: 2, batch: 8, lr: 2e-3 }
  await trainTiny('student', studentConfig(configOf(), { ...lesson, generated: 0.25, trainSteps: 16 }))
  const [own, theirs] = ['student', 'clips'].map((name) => openRun(runDir(name), runtime))
  expect(networkWeights(own.autoencoder(), 'encoder')).toEqual(
    networkWeights(theirs.autoencoder(), 'encoder'),
  )
  expect(own.base()).toEqual(theirs.base())
  const errors = readMetrics(join(runDir('student'), 'metrics.jsonl')).flatMap(({ teacherError }) =>
    typeof teacherError === 'number' ? [teacherError] : [],
  )
  const half = (from: number): number => errors.slice(from, from + 8).reduce((a, b) => a + b)
  expect(errors).toHaveLength(16)
  expect(half(8)).toBeLessThan(half(0))
  // It comes closer to two steps of its teacher than one step of that does, whatever is given.
  const clips = await openExamples(own.config, [join(folder, 'across')])
  const x = await clips.read(0, 4)
  for (const counts of [
    [0, 0, 0, 0],
    [given, given, given, given],
  ]) {
    const decoded = async (run: OpenedRun, steps: number): Promise<HostTensor> => {
      const codec = run.codec(4)
      const sampler = { kind: 'ddim', steps, variance: 0 } as const
      const z0 = codec.addNoise(await codec.encode(x), 0)
      const clip = await codec.decode(z0, 0, sampler, 0, await codec.give(x, counts))
      await codec.dispose()
      return clip
    }
    const wanted = floats(await decoded(theirs, 2))
    const distance = (clip: HostTensor): number =>
      floats(clip).reduce((sum, value, i) => sum + (value - wanted[i]) ** 2, 0)
    expect(distance(await decoded(own, 1))).toBeLessThan(distance(await decoded(theirs, 1)))
  }
})

it('refuses frames without a time axis, a time axis without frames, and what is of images', async () => {
  const refused = (config: Config) => expect(trainTiny('refused', config)).rejects
  await refused({ ...configOf(), video: undefined }).toThrow(/data\.frames is 8, but there is no time axis/)
  await refused(configOf('data.frames=6')).toThrow(/a multiple of video\.downsample 4/)
  await refused(configOf('video.kernel=4')).toThrow(/set an odd number/)
  await refused(configOf('video.given=8')).toThrow(/one at least must be generated/)
  await refused(configOf('variant.encoder=pixels')).toThrow(/works for images only/)
  const images = { ...configOf('data.frames=1'), video: undefined }
  await refused(applySettings(images, ['base.givenDropout=0.1'])).toThrow(/givenDropout is of clips/)
  await refused(applySettings(images, ['sampler.givenGuidance=2'])).toThrow(/givenGuidance is of clips/)
  const alone = { steps: 4, emaDecay: 0.9, batch: 4, lr: 1e-3 }
  const decoder = configOf()
  await refused({ ...decoder, train: { ...decoder.train, stages: { stage1decoder: alone } } }).toThrow(
    /train\.stages\.stage1decoder works for images only/,
  )
  await refused(configOf('data.source=folder')).toThrow(/has still images/)
  const data = await openRunData(configOf('data.stride=2', 'data.frames=4'))
  expect(data.train.frames).toBe(4)
})
