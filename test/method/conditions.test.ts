/** @file What the base model is told: feeds of known and unknown classes, names, embedding rows and the sum in the network. */
import { describe, expect, it } from 'vitest'
import { float32, floats, type HostTensor, int32 } from '../../src/engine/host/tensor.ts'
import { flattenSpec } from '../../src/engine/nn/params.ts'
import { conditionedBase, conditionFeeds, conditionInputs } from '../../src/method/baseModel.ts'
import { classCondition } from '../../src/method/conditions/classes.ts'
import type { Facts } from '../../src/method/conditions/condition.ts'
import { conditionNames, conditionsOf } from '../../src/method/conditions/list.ts'
import type { ModelConfig } from '../../src/method/config.ts'
import {
  baseOf,
  evaluate,
  latentShape,
  normal,
  randomParams,
  relativeError,
  stage2Spec,
  type Tensors,
  tinyConfig,
} from './support.ts'

const told = (...labels: readonly (number | null)[]): (Facts | null)[] =>
  labels.map((label) => (label === null ? null : { label }))

describe('the class', () => {
  const classes = classCondition(3)

  it('is fed as its number, and as one more where nothing is told or known', () => {
    expect(classes.feeds(told(0, 2, null, -1, 1))).toEqual({ labels: int32([5], [0, 2, 3, 3, 1]) })
    expect(classes.inputs(5)).toEqual({ labels: { shape: [5], dtype: 'int32' } })
  })

  it('is always "no class" where data has none', () => {
    const none = classCondition(0)
    expect(none.feeds(told(null, -1))).toEqual({ labels: int32([2], [0, 0]) })
    expect(none.choices).toEqual([])
    expect(flattenSpec(none.embedding(4).spec)).toMatchObject([{ spec: { shape: [1, 4] } }])
  })

  it('is chosen from all classes, and called by its name in the data', () => {
    const names = ['cat', 'dog']
    expect(classes.choices).toEqual([{ label: 0 }, { label: 1 }, { label: 2 }])
    expect([0, 1, 2, -1].map((label) => classes.nameOf({ label }, names))).toEqual([
      'cat',
      'dog',
      'none',
      'none',
    ])
  })

  it('is embedded as the row of its number, the last row for no class', async () => {
    const { spec, bind } = classes.embedding(4)
    const table = normal('table', [4, 4])
    const feeds = classes.feeds(told(2, null, 0))
    const { y } = await evaluate({ table: spec }, { table }, feeds, (lookUp, inputs) => ({
      y: bind(lookUp, 'table')(inputs),
    }))
    const row = (i: number): number[] => [...floats(table)].slice(4 * i, 4 * i + 4)
    expect([...floats(y)]).toEqual([...row(2), ...row(3), ...row(0)])
  })
})

describe('the base model', () => {
  const plain: ModelConfig = { ...tinyConfig, base: { ...tinyConfig.base, conditions: [] } }
  const B = 2
  const run = async (
    model: ModelConfig,
    params: Tensors,
    facts: readonly (Facts | null)[],
  ): Promise<HostTensor> => {
    const feeds = {
      zT: normal('zT', latentShape(model, B)),
      logSnr: float32([B], [-1, 2]),
      ...conditionFeeds(model, facts),
    }
    const { v } = await evaluate(stage2Spec(model), params, feeds, (lookUp, inputs) => ({
      v: baseOf(model, lookUp)({ zT: inputs.zT, logSnr: inputs.logSnr, conditions: inputs }),
    }))
    return v
  }
  const params = randomParams(stage2Spec(tinyConfig))

  it('has its class as its only condition where nothing else is said', () => {
    expect(conditionsOf(tinyConfig).map(({ name }) => name)).toEqual(['classes'])
    const all: ModelConfig = { ...tinyConfig, base: { ...tinyConfig.base, conditions: conditionNames } }
    expect(conditionsOf(all).map(({ name }) => name)).toEqual(conditionNames)
    expect(conditionInputs(tinyConfig, B)).toEqual({ labels: { shape: [B], dtype: 'int32' } })
    expect([conditionsOf(plain), conditionInputs(plain, B), conditionFeeds(plain, told(1, null))]).toEqual([
      [],
      {},
      {},
    ])
  })

  it('keeps the parameters of its conditions under their names, beside its own', () => {
    const [own, all] = [plain, tinyConfig].map((model) =>
      flattenSpec(conditionedBase(model).spec).map(({ path }) => path),
    )
    const extra = all.filter((path) => !own.includes(path))
    expect(extra).toEqual(['classes'])
    expect(all.filter((path) => path !== 'classes')).toEqual(own)
  })

  it('without conditions is the model whose embedding of the class is zero', async () => {
    const table = params['base.classes']
    const silent = {
      ...params,
      'base.classes': float32(
        table.shape,
        floats(table).map(() => 0),
      ),
    }
    const v = await run(plain, params, told(0, 0))
    expect(await run(plain, params, told(1, null))).toEqual(v)
    expect(await run(tinyConfig, silent, told(1, null))).toEqual(v)
    expect(relativeError(await run(tinyConfig, params, told(1, null)), v)).toBeGreaterThan(1e-3)
  })

  it('hears the class of each example by itself', async () => {
    const [first, second] = [0, 1].map((i) => (t: HostTensor) => {
      const each = t.data.length / B
      return [...floats(t)].slice(i * each, (i + 1) * each)
    }) as [(t: HostTensor) => number[], (t: HostTensor) => number[]]
    const [a, b] = [await run(tinyConfig, params, told(0, 1)), await run(tinyConfig, params, told(0, null))]
    expect(relativeError(first(b), first(a))).toBeLessThan(1e-6)
    expect(relativeError(second(b), second(a))).toBeGreaterThan(1e-3)
    expect(await run(tinyConfig, params, told(0, -1))).toEqual(b)
  })
})
