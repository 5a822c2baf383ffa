/** @file Runs of a sweep are checked before the first of them starts. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { applySettings, presetByName } from '../../src/config/load.ts'
import { prepareRun } from '../../src/runs/runDirectory.ts'
import { expectData, expectRunnable, expectTrainable } from '../../src/stages/possible.ts'

const folder = mkdtempSync(join(tmpdir(), 'unified-latents-possible-'))
afterAll(() => rmSync(folder, { recursive: true }))

const config = presetByName('study')

describe('expectData', () => {
  it('refuses a kind of data that there is not, naming those there are', () => {
    const data = { ...config.data, source: 'video', path: 'clips' }
    expect(() => expectData(data)).toThrow(
      /^data\.source: .*"video" is unknown; pass one of "emoji", .*"npy"/,
    )
  })
})

describe('expectData, of clips', () => {
  it('refuses frames that do not fit the kind of data, and a path of what is bundled', () => {
    const { data } = config
    expect(() => expectData({ ...data, frames: 16 })).toThrow(
      /^data\.frames: data source "emoji" has still images, but frames is 16; pass 1, or a source of clips/,
    )
    const moving = { ...data, source: 'moving' }
    expect(() => expectData(moving)).toThrow(/^data\.frames: .*"moving" has clips, but frames is 1; pass/)
    expect(() => expectData({ ...moving, frames: 16 })).not.toThrow()
    expect(() => expectData({ ...moving, frames: 16, path: 'x' })).toThrow(
      /^data\.source is moving, which takes no path, but data\.path is "x"/,
    )
  })
})

describe('expectTrainable', () => {
  it('refuses settings of a stage that there is not', () => {
    const own = { steps: 1, emaDecay: 0, batch: 1, lr: 1 }
    const other = { ...config, train: { ...config.train, stages: { stage9: own } } }
    expect(() => expectTrainable(other)).toThrow(
      /study: train\.stages has 'stage9'.*stages are stage1, .*stage2/,
    )
  })
})

describe('expectRunnable', () => {
  const planned = (name: string, ...settings: string[]) => ({
    dir: join(folder, name),
    config: applySettings(config, settings),
  })

  it('refuses a directory that holds another run, started or done', () => {
    const run = planned('other', 'train.lr=1')
    prepareRun(run.dir, config)
    expect(() => expectRunnable([run], () => false)).not.toThrow() // nothing was trained there
    expect(() => expectRunnable([run], () => true)).toThrow(/other: it holds a run with another.*train\.lr/)
    mkdirSync(join(run.dir, 'checkpoints'))
    expect(() => expectRunnable([planned('new'), run], () => false)).toThrow(/other: it holds a run with/)
  })

  it('asks for the data of runs that are left, not of those that are done', () => {
    const run = planned('far', 'data.source=folder', 'data.path=/nowhere/at/all')
    expect(() => expectRunnable([run], () => false)).toThrow(/far: data\.path "\/nowhere\/at\/all" does not/)
    prepareRun(run.dir, run.config)
    expect(() => expectRunnable([run], () => true)).not.toThrow()
  })
})
