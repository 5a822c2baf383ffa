/** @file Recomputed segments: the same gradients from fewer live tensors, and the runtime does compute them again. */
import { describe, expect, it } from 'vitest'
import { applySettings, presetByName } from '../../src/config/load.ts'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { float32, floats, type HostTensor, scalar } from '../../src/engine/host/tensor.ts'
import { segment, type Value } from '../../src/engine/ir/graph.ts'
import { checkProgram, type Program, trace } from '../../src/engine/ir/program.ts'
import { flattenSpec } from '../../src/engine/nn/params.ts'
import { add, exp, mul, reduceSum, sin } from '../../src/engine/ops/core.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { ModelConfig } from '../../src/method/config.ts'
import { stageCost } from '../../src/stages/info.ts'
import { stageCalled } from '../../src/stages/list.ts'
import { readGolden, stage1Spec, stage1Terms, tinyConfig, under } from '../method/support.ts'

const runtime = new NodeRuntime({ threads: 1 })

const runProfiled = async (program: Program, feeds: Readonly<Record<string, HostTensor>>) => {
  checkProgram(program)
  const executable = await runtime.compile(program, { profile: true })
  const outputs = await executable.run(feeds)
  const kernels = await executable.profile()
  await executable.dispose()
  const launches = (operator: string): number => kernels.filter((k) => k.operator === operator).length
  return { outputs, launches }
}

describe('a segment', () => {
  const wave = (x: Value): Value => sin(mul(exp(x), x))
  const chain = (recompute: boolean): Program =>
    trace('chain', { x: { shape: [3] } }, ({ x }) => {
      const once = (v: Value): Value => (recompute ? segment([v], () => wave(v)) : wave(v))
      const y = once(once(add(x, 0.5)))
      const loss = reduceSum(mul(y, y))
      return { loss, dx: gradient(loss, [x])[0] }
    })
  const feeds = { x: float32([3], [0.1, -0.4, 0.3]) }

  it('changes neither value nor gradient, bit for bit', async () => {
    const plain = await runProfiled(chain(false), feeds)
    const recomputed = await runProfiled(chain(true), feeds)
    expect(recomputed.outputs).toEqual(plain.outputs)
  })

  it('is run again by the runtime, which does not merge it with the first run', async () => {
    expect((await runProfiled(chain(false), feeds)).launches('Exp')).toBe(2)
    expect((await runProfiled(chain(true), feeds)).launches('Exp')).toBe(4)
  })

  it('inside a segment becomes part of the outer one', async () => {
    const nested = trace('nested', { x: { shape: [3] } }, ({ x }) => {
      const y = segment([x], () => segment([x], () => wave(x)))
      const loss = reduceSum(mul(y, y))
      return { loss, dx: gradient(loss, [x])[0] }
    })
    expect((await runProfiled(nested, feeds)).launches('Exp')).toBe(2)
  })
})

describe('the stage-1 step with recomputed blocks', () => {
  const golden = readGolden('stage1')
  const params = under(golden, 'param')
  const feeds = {
    ...params,
    ...under(golden, 'input'),
    encoderShare: scalar(1),
    z0LogSnr: float32([3], [5, 5, 5]),
  }
  const step = (recompute: boolean): Program => {
    const config: ModelConfig = { ...tinyConfig, recompute }
    const paths = flattenSpec(stage1Spec(config)).map(({ path }) => path)
    return trace('step', feeds, (inputs: Readonly<Record<string, Value>>) => {
      const lookUp = (path: string): Value => inputs[path]
      const terms = stage1Terms(config, lookUp, inputs)
      const loss = reduceSum(terms.totalNats)
      const gradients = gradient(loss, paths.map(lookUp))
      return { loss, ...Object.fromEntries(paths.map((path, i) => [`gradient/${path}`, gradients[i]])) }
    })
  }

  it('has the same loss and the same gradients to rounding', async () => {
    const plain = await runProfiled(step(false), feeds)
    const recomputed = await runProfiled(step(true), feeds)
    expect(Object.keys(recomputed.outputs)).toEqual(Object.keys(plain.outputs))
    for (const [name, expected] of Object.entries(plain.outputs)) {
      const norm = Math.hypot(...floats(expected))
      const error = Math.hypot(...floats(recomputed.outputs[name]).map((v, i) => v - floats(expected)[i]))
      expect(error / norm, name).toBeLessThan(1e-5)
    }
    const blocks = recomputed.launches('SimplifiedLayerNormalization')
    expect(blocks).toBeGreaterThan(plain.launches('SimplifiedLayerNormalization'))
  })
})

it("the paper's stage-1 step needs less than two fifths of the memory", () => {
  const intermediate = (recompute: boolean): number => {
    const settings = ['train.batch=8', 'train.accumulate=1', `train.recompute=${recompute}`]
    const config = applySettings(presetByName('imagenet512'), settings)
    return stageCost(config, stageCalled('stage1'), 1000).intermediateBytes
  }
  expect(intermediate(true)).toBeLessThan(0.4 * intermediate(false))
})
