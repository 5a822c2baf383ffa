/** @file Runs of a few steps on a folder of a few images, for the tests of jobs. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { applySettings, presetByName } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import type { Config } from '../../src/config/schema.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { JobEvent } from '../../src/runs/events.ts'
import type { StageChoice } from '../../src/stages/list.ts'
import { type TrainResult, train } from '../../src/stages/train.ts'
import { image, temporaryFolder, writeFiles } from '../data/temporary.ts'

/** Where the tests' files lie, decoded images and features included. */
export const workFolder: string = await temporaryFolder()
process.env.UL_CACHE = join(workFolder, 'cache')

export const runtime: NodeRuntime = new NodeRuntime({ threads: 2 })

/** 16×16 images in two classes, seeded by position so that no two look alike. */
const makeImages = async (): Promise<string> => {
  const files: Record<string, Uint8Array> = {}
  for (let i = 0; i < 16; i++) {
    const discs = image(16, 16, (x, y) =>
      Math.hypot(x - i, y - 8) < 3 + i / 3 ? [200, 12 * i, 30] : [240, 240, 255],
    )
    const stripes = image(16, 16, (x, y) => ((x + i) % (3 + i) < 3 ? [20, 14 * i, 10 * y] : [255, 250, 220]))
    files[`discs/${i}.png`] = await discs.png().toBuffer()
    files[`stripes/${i}.png`] = await stripes.png().toBuffer()
  }
  const folder = join(workFolder, 'images')
  await writeFiles(folder, files)
  return folder
}

const images = await makeImages()

/** The configuration of a run of four steps a stage. */
export const tinyConfigOf = (...settings: readonly string[]): Config =>
  applySettings(smokeForm(presetByName('study')), [
    'train.keepCheckpoints=2',
    'sampler.guidance=2',
    'data.source=folder',
    `data.path=${images}`,
    'data.size=16',
    'encoder.channels=[8, 16]',
    'prior.width=32',
    'decoder.channels=[8]',
    'decoder.width=32',
    'base.widths=[32, 32]',
    'train.batch=4',
    'train.stage1.steps=4',
    'train.stage2.steps=4',
    'train.stage2.batch=4',
    'train.sampleEvery=100',
    'sampler.steps=3',
    'sampler.decoderSteps=2',
    ...settings,
  ])

/** A run's directory by name. */
export const runDir = (name: string): string => join(workFolder, name)

/** Trains a run and keeps what it said. */
export const trainTiny = async (
  name: string,
  config: Config,
  stage: StageChoice = 'all',
): Promise<{ readonly result: TrainResult; readonly events: readonly JobEvent[] }> => {
  const events: JobEvent[] = []
  const { signal } = new AbortController()
  const dir = runDir(name)
  const result = await train({ config, dir, stage, runtime, listen: (event) => events.push(event), signal })
  return { result, events }
}

/** Stages of which a run holds checkpoints. */
export const stagesSaved = (name: string): string[] => {
  const found = readdirSync(runDir(name), { recursive: true }).map(String)
  const stages = found.flatMap((file) => file.match(/^checkpoints.(stage\d)-\d+$/)?.slice(1) ?? [])
  return [...new Set(stages)].sort()
}
