/** @file `ul train` from outside: what it writes, and that the same command goes on after whatever broke it off. */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import type { Evaluation } from '../../src/metrics/figures.ts'
import { latestCheckpoint } from '../../src/runs/checkpoint.ts'
import {
  checkpointOf,
  differingTensors,
  type Finished,
  inWork,
  type JsonLine,
  jsonLines,
  makeImages,
  metricsOf,
  sentenceOf,
  startUl,
  tensorsOf,
  tinyEvery,
  tinySteps,
  tinyTraining,
  ul,
} from './ul.ts'

let images = ''
let unbroken: Finished
const unbrokenRun = inWork('unbroken')

beforeAll(async () => {
  images = await makeImages('images')
  unbroken = await startUl([...tinyTraining(images, unbrokenRun), '--json'])
  expect(unbroken).toMatchObject({ code: 0, stderr: '' })
})

/** Trains into `run` and sends `signal` as soon as that step of that stage is reported. */
const brokenOff = async (
  run: string,
  at: { readonly stage: string; readonly step: number },
  signal: NodeJS.Signals,
): Promise<Finished> => {
  const finished = await startUl([...tinyTraining(images, run), '--json'], (line, child) => {
    const { event, stage, step } = JSON.parse(line) as JsonLine
    if (event === 'step' && stage === at.stage && step === at.step) child.kill(signal)
  })
  // It did not get to the end before the signal arrived.
  expect(existsSync(checkpointOf(run, at.stage, tinySteps))).toBe(false)
  expect(existsSync(join(run, 'report.html'))).toBe(false)
  return finished
}

const resumed = async (run: string, ...more: string[]): Promise<JsonLine[]> => {
  const finished = await ul([...tinyTraining(images, run), ...more, '--json'])
  expect(finished).toMatchObject({ code: 0, stderr: '' })
  return jsonLines(finished)
}

/** The first step of stage 2 that a command took. */
const firstStage2Step = (lines: readonly JsonLine[]): number =>
  Number(lines.find(({ event, stage }) => event === 'step' && stage === 'stage2')!.step)

const notes = (lines: readonly JsonLine[]): unknown[] =>
  lines.filter(({ event }) => event === 'note').map(({ text }) => text)

const bytes = (tensors: ReturnType<typeof tensorsOf>, name: string): Buffer => {
  const { data } = tensors[name]
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

describe('ul train', () => {
  it('--json prints progress, validation and files, and ends with the figures', () => {
    const lines = jsonLines(unbroken)
    const stepsOf = (stage: string): unknown[] =>
      lines.filter((l) => l.event === 'step' && l.stage === stage).map(({ step }) => step)
    const all = Array.from({ length: tinySteps }, (_, i) => i + 1)
    expect(stepsOf('stage1')).toEqual(all)
    expect(stepsOf('stage2')).toEqual(all)
    expect(lines.filter(({ event }) => event === 'validation').map(({ step }) => step)).toEqual([5, 10, 15])
    const done = lines.at(-1)!
    expect(done).toMatchObject({ event: 'done', run: unbrokenRun })
    const { count, psnr, bitsPerPixel } = done.validation as Evaluation
    expect(count).toBeGreaterThan(0)
    for (const { mean, error } of [psnr, bitsPerPixel]) {
      expect(mean).toBeGreaterThan(0)
      expect(Number.isFinite(mean + error)).toBe(true)
    }
    expect(lines.filter(({ event }) => event === 'done')).toHaveLength(1)
  })

  it('names the file that is no image, counts it and trains on the others', () => {
    const warnings = jsonLines(unbroken).filter(({ event }) => event === 'warning')
    expect(warnings.some(({ text }) => String(text).startsWith('skipped discs/broken.png: '))).toBe(true)
    const info = JSON.parse(readFileSync(join(unbrokenRun, 'run.json'), 'utf8'))
    expect(info).toMatchObject({ version: 1, classes: ['discs', 'stripes'] })
    expect(info.trainCount + info.validationCount).toBe(24)
    expect(info.skipped).toHaveLength(1)
  })

  it('fills the run directory', async () => {
    const config = parseConfig(readFileSync(join(unbrokenRun, 'config.yaml'), 'utf8'), 'config.yaml')
    expect(config.data).toMatchObject({ source: 'folder', path: images, size: 16 })
    expect(config.train.stage1.steps).toBe(tinySteps)
    const files = readdirSync(unbrokenRun, { recursive: true, encoding: 'utf8' }).sort()
    const png = files.filter((name) => name.endsWith('.png'))
    expect(png).toEqual([
      ...['000000005', '000000010', '000000015'].map((n) => join('samples', `reconstructions-${n}.png`)),
      join('samples', 'reconstructions.png'),
      ...['000000005', '000000010', '000000015'].map((n) => join('samples', `samples-${n}.png`)),
      join('samples', 'samples.png'),
    ])
    for (const name of png) {
      const { width, height } = await sharp(join(unbrokenRun, name)).metadata()
      expect(Math.min(width, height), name).toBeGreaterThanOrEqual(32)
    }
    expect(readdirSync(join(unbrokenRun, 'tensorboard')).sort()).toEqual(['stage1', 'stage2'])
    for (const stage of ['stage1', 'stage2']) {
      const events = readdirSync(join(unbrokenRun, 'tensorboard', stage))
      expect(events).toEqual([expect.stringMatching(/^events\.out\.tfevents\./)])
      expect(statSync(join(unbrokenRun, 'tensorboard', stage, events[0])).size).toBeGreaterThan(1000)
    }
    expect(readdirSync(join(unbrokenRun, 'checkpoints')).sort()).toEqual(
      ['stage1', 'stage2'].flatMap((s) => [`${s}-000000010`, `${s}-000000020`]),
    )
    const evaluation = JSON.parse(readFileSync(join(unbrokenRun, 'evaluation.json'), 'utf8'))
    expect(evaluation).toEqual(jsonLines(unbroken).at(-1)!.validation)
    const steps = metricsOf(unbrokenRun).filter(({ loss }) => loss !== undefined)
    expect(steps).toHaveLength(2 * tinySteps)
    for (const { loss } of steps) expect(Number.isFinite(loss)).toBe(true)
  })

  it('writes a report that loads nothing from elsewhere', () => {
    const html = readFileSync(join(unbrokenRun, 'report.html'), 'utf8')
    expect(html.slice(0, 15)).toBe('<!DOCTYPE html>')
    const loads = [...html.matchAll(/\b(?:src|href|srcset|data|action)\s*=\s*"([^"]*)"/g)].map((m) => m[1])
    expect(loads.length).toBeGreaterThanOrEqual(2)
    for (const url of loads) expect(url.slice(0, 40)).toMatch(/^(data:image\/png;base64,|#)/)
    expect(html.match(/<script|<link|<iframe|@import|url\(\s*['"]?(https?:)?\/\//i)).toBeNull()
    const { psnr, bitsPerPixel } = jsonLines(unbroken).at(-1)!.validation as Evaluation
    for (const figure of [psnr.mean.toFixed(2), bitsPerPixel.mean.toFixed(3)]) {
      expect(html.includes(figure), figure).toBe(true)
    }
  })

  it('changes the weights: the last checkpoint is not the one before', () => {
    for (const stage of ['stage1', 'stage2']) {
      const [before, after] = [tensorsOf(unbrokenRun, stage, 10), tensorsOf(unbrokenRun, stage, 20)]
      const same = Object.keys(after).filter((name) => bytes(after, name).equals(bytes(before, name)))
      expect(same).toEqual([])
    }
  })
})

describe('the same command again', () => {
  it('after kill -9 in stage 1 and in stage 2 ends in the tensors of an unbroken run, bit for bit', async () => {
    const run = inWork('killed')
    const first = await brokenOff(run, { stage: 'stage1', step: tinyEvery + 1 }, 'SIGKILL')
    expect(first.signal).toBe('SIGKILL')
    expect(latestCheckpoint(run)).toMatchObject({ stage: 'stage1', step: tinyEvery })
    const second = await brokenOff(run, { stage: 'stage2', step: tinyEvery + 1 }, 'SIGKILL')
    expect(second.signal).toBe('SIGKILL')
    expect(latestCheckpoint(run)).toMatchObject({ stage: 'stage2', step: tinyEvery })
    const lines = await resumed(run)
    expect(notes(lines)).toContain('stage2: resuming after step 10')
    expect(lines.some(({ stage }) => stage === 'stage1')).toBe(false)
    expect(differingTensors(run, unbrokenRun)).toEqual([])
    // The log holds each step once, as if nothing had happened.
    expect(metricsOf(run)).toEqual(metricsOf(unbrokenRun))
    expect(lines.at(-1)).toMatchObject({ event: 'done' })
  })

  it('after Ctrl-C, or a polite kill, goes on from the very step', async () => {
    const run = inWork('stopped')
    for (const [signal, stage, step, code] of [
      ['SIGINT', 'stage1', 3, 130],
      ['SIGHUP', 'stage1', 9, 129],
      ['SIGTERM', 'stage2', 3, 143],
    ] as const) {
      const stopped = await brokenOff(run, { stage, step }, signal)
      expect(stopped).toMatchObject({ code, signal: null, stderr: '' })
      const last = jsonLines(stopped).at(-1)!
      expect(last).toMatchObject({ event: 'stopped', stage })
      expect(last.step).toBeGreaterThanOrEqual(step)
      expect(latestCheckpoint(run)).toMatchObject({ stage, step: last.step })
    }
    const lines = await resumed(run)
    expect(notes(lines)).toContain(`stage2: resuming after step ${firstStage2Step(lines) - 1}`)
    expect(differingTensors(run, unbrokenRun)).toEqual([])
    expect(metricsOf(run)).toEqual(metricsOf(unbrokenRun))
  })

  it('passes over half-written checkpoints with a warning and uses the ones before', async () => {
    const run = inWork('damaged')
    cpSync(unbrokenRun, run, { recursive: true })
    const [one, two] = ['stage1', 'stage2'].map((stage) => checkpointOf(run, stage, tinySteps))
    const weights = join(one, 'state.safetensors')
    truncateSync(weights, statSync(weights).size - 1000)
    rmSync(join(two, 'state.json'))
    const lines = await resumed(run)
    const warnings = lines.filter(({ event }) => event === 'warning').map(({ text }) => String(text))
    expect(warnings.filter((text) => text.includes(one))).toHaveLength(1)
    expect(warnings.filter((text) => text.includes(two))).toHaveLength(1)
    expect(notes(lines)).toContain('stage1: resuming after step 10')
    expect(notes(lines)).toContain('stage2: resuming after step 10')
    expect(differingTensors(run, unbrokenRun)).toEqual([])
  })

  it('on a finished run trains nothing, measures the same, and may change what is shown', async () => {
    const run = inWork('finished')
    cpSync(unbrokenRun, run, { recursive: true })
    const lines = await resumed(run, '--set', 'train.logEvery=7')
    expect(lines.filter(({ event }) => event === 'step')).toEqual([])
    const [again, before] = [lines.at(-1)!, jsonLines(unbroken).at(-1)!].map(({ validation }) => {
      const { imagesPerSecond: _, ...figures } = validation as Evaluation
      return figures
    })
    expect(again).toEqual(before)
    expect(differingTensors(run, unbrokenRun)).toEqual([])
  })

  it('with another configuration is refused with the key that differs', async () => {
    const command = tinyTraining(images, unbrokenRun)
    expect(await sentenceOf(2, [...command, '--set', 'train.lr=1e-4'])).toMatch(
      /holds a run with another configuration: train\.lr \(0\.008 there, 0\.0001 now\); give another --out/,
    )
  })

  it('may correct what kept a run from ever starting', async () => {
    const run = inWork('corrected')
    const lost = await sentenceOf(1, tinyTraining(inWork('nowhere'), run))
    expect(lost).toMatch(/data folder ".*nowhere" does not exist/)
    expect(existsSync(join(run, 'config.yaml'))).toBe(true)
    const { code } = await ul([...tinyTraining(images, run), '--stage', '1', '--steps', '2'])
    expect(code).toBe(0)
    expect(latestCheckpoint(run)).toMatchObject({ stage: 'stage1', step: 2 })
  })
})
