/** @file Runs that train less than both stages: with the stage 1 of another run, or generating with the stage-1 prior. */
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/load.ts'
import { floats } from '../../src/engine/host/tensor.ts'
import { createGenerator, type GenerationRequest } from '../../src/method/generator.ts'
import { configGuidance, decoderSampler, latentSampler } from '../../src/model/samplers.ts'
import { latestCheckpoint, loadCheckpoint, saveCheckpoint } from '../../src/runs/checkpoint.ts'
import type { JobEvent } from '../../src/runs/events.ts'
import { prepareRun, readRunInfo, writeRunInfo } from '../../src/runs/runDirectory.ts'
import { train } from '../../src/stages/train.ts'
import type { Weights } from '../../src/train/frozen.ts'
import { type OpenedRun, openRun } from '../../src/use/openRun.ts'
import { sample, sampleParts } from '../../src/use/sample.ts'
import { runDir, runtime, stagesSaved, tinyConfigOf, trainTiny, workFolder } from './tinyRun.ts'

const opened = (name: string): OpenedRun => openRun(runDir(name), runtime)
const stage2 = (name: string): Weights =>
  loadCheckpoint(latestCheckpoint(runDir(name), 'stage2')!.path).tensors

/** What the latents of a run are on disk, file by file. */
const latentFiles = (name: string): [string, string][] => {
  const dir = join(runDir(name), 'latents')
  return readdirSync(dir).map((file) => [file, readFileSync(join(dir, file)).toString('base64')])
}

/** What to generate with a run. */
const requestOf = ({ config }: OpenedRun): GenerationRequest => ({
  facts: [0, 1, 2].map((label) => ({ label })),
  seed: 3,
  sampler: latentSampler(config),
  guidance: configGuidance(config),
})
const generated = async (run: OpenedRun): Promise<Float32Array> => {
  const generator = run.generator(2)
  const z0 = await generator.generate(requestOf(run))
  await generator.dispose()
  return floats(z0)
}

const notes = (events: Awaited<ReturnType<typeof trainTiny>>['events']): string[] =>
  events.flatMap((event) => (event.event === 'note' ? [event.text] : []))

/** Stages that trained steps. */
const stagesIn = (events: Awaited<ReturnType<typeof trainTiny>>['events']): string[] => [
  ...new Set(events.flatMap((event) => (event.event === 'step' ? [event.stage] : []))),
]

beforeAll(async () => {
  const { result, events } = await trainTiny('whole', tinyConfigOf())
  expect(result.finished).toBe(true)
  expect(stagesIn(events)).toEqual(['stage1', 'stage2'])
  expect(notes(events)).toContain(`stage2: encoding ${readRunInfo(runDir('whole')).trainCount} images`)
})

describe('train.stage1.from', () => {
  it('uses the other run: same weights, its latents, and so the same stage 2 bit by bit', async () => {
    const before = latentFiles('whole')
    const config = tinyConfigOf(`train.stage1.from=${runDir('whole')}`)
    const { result, events } = await trainTiny('borrowing', config)
    expect(result.finished).toBe(true)
    expect(stagesIn(events)).toEqual(['stage2'])
    expect(notes(events).filter((text) => text.includes('encoding'))).toEqual([])
    expect(stagesSaved('borrowing')).toEqual(['stage2'])
    expect(existsSync(join(runDir('borrowing'), 'latents'))).toBe(false)
    expect(latentFiles('whole')).toEqual(before)
    const [whole, borrowing] = [opened('whole'), opened('borrowing')]
    expect(borrowing.stage1Directory).toBe(runDir('whole'))
    expect(borrowing.autoencoder()).toEqual(whole.autoencoder())
    expect(stage2('borrowing')).toEqual(stage2('whole'))
    expect(await generated(borrowing)).toEqual(await generated(whole))
    const evaluation = { ...result.evaluation, imagesPerSecond: 0 }
    const wanted = JSON.parse(readFileSync(join(runDir('whole'), 'evaluation.json'), 'utf8')) as object
    expect(evaluation).toEqual({ ...wanted, imagesPerSecond: 0 })
  })

  it.each([
    ['base model', ['base.widths=[32, 64]', 'train.stage2.lr=1e-4']],
    ['seed', ['seed=1']],
    ['mirroring', ['data.flip=false']],
  ])('takes another %s, and encodes nothing again', async (name, settings) => {
    const before = latentFiles('whole')
    const config = tinyConfigOf(`train.stage1.from=${runDir('whole')}`, ...settings)
    const { events } = await trainTiny(`other ${name}`, config)
    expect(notes(events).filter((text) => text.includes('encoding'))).toEqual([])
    expect(latentFiles('whole')).toEqual(before)
    expect(opened(`other ${name}`).autoencoder()).toEqual(opened('whole').autoencoder())
  })

  it('draws the latents of a learned variance by the seed', async () => {
    const learned = 'variant.variance=learned'
    await trainTiny('learned', tinyConfigOf(learned))
    const before = latentFiles('learned')
    const config = (seed: number) =>
      tinyConfigOf(learned, `train.stage1.from=${runDir('learned')}`, `seed=${seed}`)
    const same = await trainTiny('same draw', config(0), '2')
    expect(notes(same.events).filter((text) => text.includes('encoding'))).toEqual([])
    const other = await trainTiny('other draw', config(1), '2')
    expect(notes(other.events).filter((text) => text.includes('encoding'))).toHaveLength(1)
    expect(latentFiles('learned')).not.toEqual(before)
  })

  it.each([
    ['decoder', 'decoder.width=64'],
    ['encoder', 'encoder.blocks=2'],
    ['prior', 'prior.blocks=2'],
    ['latent', 'latent.channels=4'],
    ['variant', 'variant.variance=learned'],
    ['data.size', 'data.size=32'],
  ])('refuses a run whose %s is another', async (part, setting) => {
    const config = tinyConfigOf(`train.stage1.from=${runDir('whole')}`, setting)
    const dir = runDir(`refused-${part}`)
    prepareRun(dir, config)
    writeRunInfo(dir, readRunInfo(runDir('whole')))
    expect(() => openRun(dir, runtime)).toThrow(ConfigError)
    expect(() => openRun(dir, runtime)).toThrow(
      `train.stage1.from ${runDir('whole')}: that run differs from this one in ${part}; set the same values`,
    )
  })

  it('refuses to go on with a stage 2 whose stage 1 was trained anew', async () => {
    cpSync(runDir('whole'), runDir('anew'), { recursive: true })
    const stages = readdirSync(join(runDir('anew'), 'checkpoints'))
    cpSync(join(runDir('anew'), 'checkpoints'), join(runDir('anew'), 'kept'), { recursive: true })
    // The same run with other encoder weights under the same names.
    for (const name of stages.filter((stage) => stage.startsWith('stage1'))) {
      const { state, tensors } = loadCheckpoint(join(runDir('anew'), 'checkpoints', name))
      const { stage, step, version: _, ...meta } = state
      for (const [path, tensor] of Object.entries(tensors))
        if (path.includes('encoder.')) (tensor.data as Float32Array).fill(0.01)
      saveCheckpoint(runDir('anew'), { stage, step, tensors, meta }, 9)
    }
    const again = trainTiny('anew', tinyConfigOf())
    await expect(again).rejects.toThrow(ConfigError)
    await expect(again).rejects.toThrow(
      `${runDir('anew')}: its stage2 was trained on other latents than its stage 1 gives now; remove checkpoints/stage2-*`,
    )
    rmSync(join(runDir('anew'), 'checkpoints'), { recursive: true })
    cpSync(join(runDir('anew'), 'kept'), join(runDir('anew'), 'checkpoints'), { recursive: true })
    expect((await trainTiny('anew', tinyConfigOf())).result.finished).toBe(true)
  })

  it('refuses to go on with other images, before it writes anything', async () => {
    const folder = join(workFolder, 'changing images')
    cpSync(tinyConfigOf().data.path!, folder, { recursive: true })
    const config = tinyConfigOf(`data.path=${folder}`)
    await trainTiny('changing', config, '1')
    const before = readFileSync(join(runDir('changing'), 'run.json'), 'utf8')
    const begun = `${runDir('changing')}: the data is not what this run began with: `
    renameSync(join(folder, 'discs'), join(folder, 'rings'))
    await expect(trainTiny('changing', config)).rejects.toThrow(
      `${begun}of its classes rings new, discs gone; restore`,
    )
    renameSync(join(folder, 'rings'), join(folder, 'discs'))
    const { trainCount } = readRunInfo(runDir('changing'))
    const names = readdirSync(join(folder, 'discs'))
    for (const name of names.slice(0, 9)) renameSync(join(folder, 'discs', name), join(folder, `${name}.off`))
    await expect(trainTiny('changing', config)).rejects.toThrow(
      `${begun}training images ${trainCount} then, `,
    )
    for (const name of names.slice(0, 9)) renameSync(join(folder, `${name}.off`), join(folder, 'discs', name))
    expect(readFileSync(join(runDir('changing'), 'run.json'), 'utf8')).toBe(before)
    expect((await trainTiny('changing', config)).result.finished).toBe(true)
  })

  it('refuses a stage 1 that is not finished', async () => {
    const events: JobEvent[] = []
    const abort = new AbortController()
    const listen = (event: JobEvent): void => {
      events.push(event)
      if (event.event === 'step') abort.abort()
    }
    const config = tinyConfigOf('train.logEvery=1')
    const stopped = runDir('stopped')
    const { signal } = abort
    await train({ config, dir: stopped, stage: '1', runtime, listen, signal })
    const step = latestCheckpoint(stopped, 'stage1')!.step
    expect(step).toBeLessThan(4)
    const early = trainTiny('early', tinyConfigOf(`train.stage1.from=${stopped}`))
    await expect(early).rejects.toThrow(ConfigError)
    await expect(early).rejects.toThrow(
      `train.stage1.from ${stopped}: its stage 1 is at step ${step} of 4; train it to the end first`,
    )
    expect((await trainTiny('stopped', config, '1')).result.finished).toBe(true)
    expect((await trainTiny('early', tinyConfigOf(`train.stage1.from=${stopped}`))).result.finished).toBe(
      true,
    )
  })

  it('does not take over the rate by the base model of the other run', async () => {
    const config = tinyConfigOf(`train.stage1.from=${runDir('whole')}`, 'sampler.generator=prior')
    const { result } = await trainTiny('no base', config)
    expect(readFileSync(join(runDir('whole'), 'evaluation.json'), 'utf8')).toContain('baseBitsPerPixel')
    expect(result.evaluation!.psnr.mean).toBeGreaterThan(0)
    expect(result.evaluation).not.toHaveProperty('baseBitsPerPixel')
  })

  /** A run that has its configuration and nothing else. */
  const bare = (name: string, from: string): string => {
    prepareRun(runDir(name), tinyConfigOf(`train.stage1.from=${from}`))
    writeRunInfo(runDir(name), readRunInfo(runDir('whole')))
    return runDir(name)
  }

  it('follows a run that has its stage 1 from another, and ends where runs name each other', () => {
    const third = bare('third', bare('second', runDir('whole')))
    expect(openRun(third, runtime).stage1Directory).toBe(runDir('whole'))
    expect(openRun(third, runtime).autoencoder()).toEqual(opened('whole').autoencoder())
    for (const last of ['itself', 'ring b']) bare(last, runDir(last === 'itself' ? last : 'ring a'))
    bare('ring a', runDir('ring b'))
    for (const name of ['itself', 'ring a', 'ring b']) {
      expect(() => opened(name)).toThrow(ConfigError)
      expect(() => opened(name)).toThrow(/takes its stage 1 from this one/)
    }
  })

  it('refuses before anything is trained, and names a run that is not there', async () => {
    const other = tinyConfigOf(`train.stage1.from=${runDir('whole')}`, 'decoder.width=64')
    await expect(trainTiny('other', other)).rejects.toThrow(ConfigError)
    expect(stagesSaved('other')).toEqual([])
    const none = tinyConfigOf(`train.stage1.from=${runDir('nowhere')}`)
    await expect(trainTiny('none', none)).rejects.toThrow(/nowhere: there is no config\.yaml/)
  })
})

describe('sampling', () => {
  it('lets go of both networks, also where whoever takes the images stops early', async () => {
    const run = opened('whole')
    const left: string[] = []
    const noted = <T extends { dispose(): Promise<void> }>(name: string, network: T): T => ({
      ...network,
      dispose: () => {
        left.push(name)
        return network.dispose()
      },
    })
    const watched = {
      ...run,
      generator: (B: number) => noted('generator', run.generator(B)),
      codec: (B: number) => noted('codec', run.codec(B)),
    }
    // More images than a part holds.
    const facts = Array.from({ length: 130 }, () => ({ label: 0 }))
    const request = { ...requestOf(run), facts, decoder: decoderSampler(run.config) }
    for await (const { first } of sampleParts(watched, request)) if (first === 0) break
    expect(left).toEqual(['generator', 'codec'])
    await sample(watched, { ...request, facts: facts.slice(0, 3) })
    expect(left).toEqual(['generator', 'codec', 'generator', 'codec'])
  })
})

describe('sampler.generator=prior', () => {
  const prior = 'sampler.generator=prior'

  it('samples from the prior of its own stage 1 without a stage 2', async () => {
    const { result, events } = await trainTiny('prior', tinyConfigOf(prior))
    expect(result.finished).toBe(true)
    expect(stagesIn(events)).toEqual(['stage1'])
    expect(stagesSaved('prior')).toEqual(['stage1'])
    expect(existsSync(join(runDir('prior'), 'samples', 'samples.png'))).toBe(true)
    const run = opened('prior')
    // Stage 1 does not depend on what generates.
    expect(run.autoencoder()).toEqual(opened('whole').autoencoder())
    const z0 = await generated(run)
    const generator = createGenerator(runtime, run.model, run.autoencoder(), 3, 'prior')
    const own = floats(await generator.generate(requestOf(run)))
    await generator.dispose()
    expect(Math.max(...z0.map((v, i) => Math.abs(v - own[i])))).toBeLessThan(1e-5)
    const base = await generated(opened('whole'))
    expect(Math.max(...z0.map((v, i) => Math.abs(v - base[i])))).toBeGreaterThan(1e-3)
    const images = await sample(run, { ...requestOf(run), decoder: decoderSampler(run.config) })
    expect(floats(images).every((v) => v >= -1 && v <= 1)).toBe(true)
  })

  it('with the stage 1 of another run trains nothing and samples the same', async () => {
    const { result, events } = await trainTiny(
      'nothing',
      tinyConfigOf(prior, `train.stage1.from=${runDir('whole')}`),
    )
    expect(result.finished).toBe(true)
    expect(stagesIn(events)).toEqual([])
    expect(stagesSaved('nothing')).toEqual([])
    expect(await generated(opened('nothing'))).toEqual(await generated(opened('prior')))
  })
})
