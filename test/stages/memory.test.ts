/** @file What is said, and proposed, when training will not fit the memory that there is. */
import { expect, it } from 'vitest'
import { applySettings, presetByName } from '../../src/config/load.ts'
import { stageCost } from '../../src/stages/info.ts'
import { stages, stagesOf } from '../../src/stages/list.ts'
import { memoryWarnings } from '../../src/stages/memory.ts'

const config = applySettings(presetByName('study'), ['train.batch=64'])
const own = stagesOf(config)
const where = { classes: 9, device: 'cpu' } as const
const taken = (...settings: string[]): number[] =>
  own.map((stage) => {
    const { stateBytes, fedBytes, intermediateBytes } = stageCost(applySettings(config, settings), stage, 9)
    return stateBytes + fedBytes + intermediateBytes
  })

it('nothing while there is room, and on a GPU, of which nothing is known', () => {
  expect(memoryWarnings(config, own, where, Math.max(...taken()))).toEqual([])
  expect(memoryWarnings(config, own, { classes: 9, device: 'webgpu' }, 1)).toEqual([])
  // By what this machine has.
  expect(memoryWarnings(config, own, where)).toEqual([])
})

it('names the fewest parts that fit, and recomputation where that fits, with what they take', () => {
  const [stage1] = taken()
  const [inParts] = taken('train.accumulate=2')
  const [recomputed] = taken('train.recompute=true')
  const room = Math.max(inParts, recomputed)
  expect(memoryWarnings(config, own, where, room)).toEqual([
    `stage1 will take about ${(stage1 / 2 ** 30).toFixed(2)} GiB of memory, but only ${(room / 2 ** 30).toFixed(2)} GiB are there: it may be ended without a word; set train.accumulate=2 (${(inParts / 2 ** 30).toFixed(2)} GiB), or train.recompute=true (${(recomputed / 2 ** 30).toFixed(2)} GiB), or a smaller batch`,
  ])
  const [text] = memoryWarnings(config, own, where, taken('train.accumulate=8')[0])
  expect(text).toContain('set train.accumulate=8 (')
})

it('proposes parts that divide the batches of all stages, and no cure where there is none', () => {
  const odd = applySettings(config, ['train.stage2.batch=27'])
  const [text] = memoryWarnings(odd, own, where, taken('train.accumulate=8')[0])
  expect(text).not.toContain('accumulate')
  expect(memoryWarnings(config, [stages[0]], where, 2 ** 20)).toEqual([
    expect.stringMatching(/set a smaller batch$/),
  ])
})
