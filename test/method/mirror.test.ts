/** @file The condition on mirroring: what is told of an image reaches its own row of the embedding, and no other. */
import { expect, it } from 'vitest'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { floats } from '../../src/engine/host/tensor.ts'
import { baseFeeds, baseObjective, conditionFeeds } from '../../src/method/baseModel.ts'
import type { Facts } from '../../src/method/conditions/condition.ts'
import type { ModelConfig } from '../../src/method/config.ts'
import { evaluate, latentShape, normal, randomParams, stage2Spec, tinyConfig, wholeDraw } from './support.ts'

const withConditions = (conditions: ModelConfig['base']['conditions']): ModelConfig => ({
  ...tinyConfig,
  base: { ...tinyConfig.base, labelDropout: 0, conditions },
})
const mirroring = withConditions(['classes', 'mirror'])

it('is told by image; one of which nobody says so is as the data has it', () => {
  const facts: (Facts | null)[] = [
    { label: 1, mirrored: true },
    { label: 1, mirrored: false },
    { label: -1 },
    null,
  ]
  const feeds = conditionFeeds(mirroring, facts)
  expect([...feeds.mirroring.data]).toEqual([1, 0, 0, 2])
  expect([...feeds.labels.data]).toEqual([1, 1, 3, 3])
  expect(Object.keys(conditionFeeds(withConditions(['mirror']), facts))).toEqual(['mirroring'])
})

it('adds three rows to the base model and changes nothing else of it', () => {
  const shapes = (model: ModelConfig) =>
    Object.fromEntries(
      Object.entries(randomParams(stage2Spec(model))).map(([path, t]) => [path, [...t.shape]]),
    )
  const [plain, told] = [shapes(withConditions(['classes'])), shapes(mirroring)]
  const added = Object.keys(told).filter((path) => !(path in plain))
  expect(added).toEqual(['base.mirror'])
  expect(told).toEqual({ ...plain, 'base.mirror': [3, plain['base.classes'][1]] })
})

it('trains the rows of what it is told, one image each', async () => {
  const B = 3
  const told = [true, false, true]
  const objective = baseObjective(mirroring, B)
  const facts = told.map((mirrored) => ({ label: 0, mirrored }))
  const {
    seed: _,
    firstExample: __,
    ...feeds
  } = baseFeeds(mirroring, normal('z', latentShape(mirroring, B)), facts, wholeDraw(1, 2, B))
  const table = 'base.mirror'
  const params = randomParams(stage2Spec(mirroring))
  const slopes = async (only: Readonly<Record<string, (typeof feeds)[string]>>) => {
    const { rows } = await evaluate(objective.spec, params, only, (lookUp, inputs) => ({
      rows: gradient(objective.trace(lookUp, inputs).loss, [lookUp(table)])[0],
    }))
    const width = rows.shape[1]
    return [0, 1, 2].map((row) => floats(rows).slice(row * width, (row + 1) * width))
  }
  const [asItIs, mirrored, untold] = await slopes(feeds)
  for (const row of [asItIs, mirrored]) expect(row.some((v) => v !== 0)).toBe(true)
  expect(untold.every((v) => v === 0)).toBe(true)
})
