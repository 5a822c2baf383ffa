/** @file A sampler's chain: what crosses between host and device, the formula of a step, and what is left when one fails. */
import { describe, expect, it } from 'vitest'
import { float32, floats, type HostTensor, zeros } from '../../src/engine/host/tensor.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { add, constant, mul, square } from '../../src/engine/ops/core.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { Runtime, Traffic } from '../../src/engine/runtime/runtime.ts'
import {
  type Chain,
  predicted,
  runChain,
  type StepProgram,
  stepInputs,
  stepUpdates,
  takeStep,
} from '../../src/method/chain.ts'
import { createCodec } from '../../src/method/codec.ts'
import { numberedNoise } from '../../src/method/diffusion/draws.ts'
import { type SamplerConfig, type Step, samplerSteps } from '../../src/method/diffusion/sampler.ts'
import { alphaOf, linearSchedule } from '../../src/method/diffusion/schedule.ts'
import { createGenerator, type GeneratorKind } from '../../src/method/generator.ts'
import {
  latentShape,
  normal,
  randomParams,
  relativeError,
  stage1Spec,
  stage2Spec,
  stepOf,
  tinyConfig,
} from './support.ts'

const runtime = new NodeRuntime({ threads: 1 })

/** Everything that passes between a chain and a runtime. */
interface Watched {
  readonly runtime: Runtime
  /** Names of what is placed, read, fed and returned, call by call. */
  readonly placed: string[][]
  readonly read: string[][]
  readonly fed: string[][]
  readonly returned: string[][]
  /** States that were freed. */
  freed: number
}

/** A runtime that is watched. */
const watch = (): Watched => {
  const own: Watched = {
    placed: [],
    read: [],
    fed: [],
    returned: [],
    freed: 0,
    runtime: {
      device: runtime.device,
      limits: runtime.limits,
      compile: async (program, options) => {
        const executable = await runtime.compile(program, options)
        return {
          get traffic() {
            return executable.traffic
          },
          profile: () => executable.profile(),
          dispose: () => executable.dispose(),
          run: async (feeds, state) => {
            const outputs = await executable.run(feeds, state)
            own.fed.push(Object.keys(feeds))
            own.returned.push(Object.keys(outputs))
            return outputs
          },
        }
      },
      place: async (tensors) => {
        own.placed.push(Object.keys(tensors))
        const state = await runtime.place(tensors)
        const { read, dispose } = { read: state.read.bind(state), dispose: state.dispose.bind(state) }
        return Object.assign(state, {
          read: (names: readonly string[] = state.names) => {
            own.read.push([...names])
            return read(names)
          },
          dispose: () => {
            own.freed += 1
            return dispose()
          },
        })
      },
    },
  }
  return own
}

const sampler: SamplerConfig = { kind: 'ancestral', steps: 3, variance: 0.5 }
const guidance = { scale: 2, logSnrMin: -4, logSnrMax: 4 }
const facts = [{ label: 0 }, { label: 2 }, null]
/** In batches of 2: two chains. */
const B = 2

const decode = async (runtime: Runtime): Promise<void> => {
  const codec = createCodec(runtime, tinyConfig, randomParams(stage1Spec(tinyConfig)), B)
  await codec.decode(normal('z0', latentShape(tinyConfig, facts.length)), 1, sampler)
  await codec.dispose()
}

const generate = (kind: GeneratorKind) => async (runtime: Runtime) => {
  const spec = kind === 'base' ? stage2Spec(tinyConfig) : stage1Spec(tinyConfig)
  const generator = createGenerator(runtime, tinyConfig, randomParams(spec), B, kind)
  await generator.generate({ facts, seed: 1, sampler, guidance })
  await generator.dispose()
}

describe.each<[string, (runtime: Runtime) => Promise<void>, string[]]>([
  ['the decoder', decode, ['z0']],
  ['the guided base model', generate('base'), ['labels', 'null/labels']],
  ['the prior', generate('prior'), []],
])('a chain of %s', (_, run, held) => {
  it('stays on the device: one read at its end, and steps are fed nothing that is held and return nothing', async () => {
    const watched = watch()
    await run(watched.runtime)
    const state = [...held, 'xT', 'before']
    expect(watched.placed).toEqual([state, state])
    expect(watched.read).toEqual([['xT'], ['xT']])
    expect(watched.returned).toEqual(Array(6).fill([]))
    expect(watched.fed.length).toBe(6)
    expect(watched.fed.flat().filter((name) => state.includes(name))).toEqual([])
    expect(watched.freed).toBe(2)
  })
})

describe('runChain', () => {
  const shape = [2, 5]
  const step = (logSnr: number, keep: number, clean: number, past: number, noise: number): Step => ({
    ...{ logSnr, keep, clean, past, noise },
  })
  const steps = [step(-3, 0.9, 0.2, 0, 0.3), step(-1, 0.7, 0.5, -0.25, 0.1), step(2, 0.4, 0.8, 0.125, 0)]
  const chain: Chain = { steps, shape, seed: 7, name: 'own', first: 3 }
  /** x̂ = 0.5·x_t² + held. */
  const program = trace('own', { ...stepInputs(shape), held: { shape } }, ({ held, ...inputs }) => {
    const step = stepOf(inputs)
    return takeStep(step, add(mul(square(step.xT), 0.5), held))
  })
  const heldTensor = (): HostTensor => normal('held', shape)

  const runOn = async (
    where: Runtime,
    chain: Chain,
  ): Promise<{ readonly end: HostTensor; readonly traffic: Traffic }> => {
    const compiled = await where.compile(program, { updates: stepUpdates })
    const end = await runChain(where, chain, { held: heldTensor() }, () => ({
      program: compiled,
      feeds: {},
    }))
    await compiled.dispose()
    return { end, traffic: compiled.traffic }
  }
  const run = async (chain: Chain): Promise<HostTensor> => (await runOn(runtime, chain)).end

  /** The same in float64. */
  const expected = (start: HostTensor): number[] => {
    const held = floats(heldTensor())
    let x = [...floats(start)]
    let before = x.map(() => 0)
    for (const [i, { keep, clean, past, noise }] of steps.entries()) {
      const eps = floats(numberedNoise(shape, 7, `own/${i}`, 3))
      const xHat = x.map((v, j) => 0.5 * v * v + held[j])
      x = x.map((v, j) => keep * v + clean * xHat[j] + past * before[j] + noise * eps[j])
      before = xHat
    }
    return x
  }

  it('takes every step by the formula, with the prediction of the step before', async () => {
    const noise = numberedNoise(shape, 7, 'own', 3)
    expect(relativeError(await run(chain), expected(noise))).toBeLessThan(1e-6)
    const forgetful = steps.map((step) => ({ ...step, past: 0 }))
    expect(relativeError(await run({ ...chain, steps: forgetful }), expected(noise))).toBeGreaterThan(1e-3)
  })

  it.each([false, true])(
    'brings nothing home between steps in memory of its own, captured: %s',
    async (graph) => {
      const own = new NodeRuntime({ threads: 1, ownMemory: true, cuda: { graph } })
      const { end, traffic } = await runOn(own, chain)
      expect(end).toEqual(await run(chain))
      // Noise of the shape and four coefficients; this step does not read its noise level.
      const fed = 4 * (shape[0] * shape[1] + 4)
      expect(traffic).toEqual({ toDevice: steps.length * fed, toHost: 0 })
    },
  )

  it('begins where it is told, and leaves that as it was', async () => {
    const start = normal('start', shape)
    const end = await run({ ...chain, start })
    expect(relativeError(end, expected(normal('start', shape)))).toBeLessThan(1e-6)
    expect(start).toEqual(normal('start', shape))
    expect(await run({ ...chain, start })).toEqual(end)
    expect(await run({ ...chain, start, steps: [] })).toEqual(start)
  })

  it('draws the noise of an example by its number', async () => {
    const whole = floats(await run(chain)).slice(5)
    const shifted = { ...chain, first: 4 }
    const held = float32(shape, [...floats(heldTensor()).slice(5), ...Array(5).fill(0)] as number[])
    const compiled = await runtime.compile(program, { updates: stepUpdates })
    const end = await runChain(runtime, shifted, { held }, () => ({ program: compiled, feeds: {} }))
    await compiled.dispose()
    expect(floats(end).slice(0, 5)).toEqual(whole)
  })

  it('frees the device when a step fails, and says why', async () => {
    const watched = watch()
    const failing: StepProgram = {
      run: async ({ logSnr }) => {
        if (floats(logSnr)[0] === -1) throw new Error('no memory')
      },
    }
    const chained = runChain(watched.runtime, chain, { held: zeros(shape) }, () => ({
      program: failing,
      feeds: {},
    }))
    await expect(chained).rejects.toThrow('no memory')
    expect(watched).toMatchObject({ placed: [['held', 'xT', 'before']], read: [], freed: 1 })
  })
})

it.each([{ shape: [3, 2] }, { shape: [3, 2, 1, 1] }])(
  'takes points of shape $shape to what v̂ predicts, and leaves its start as it was',
  async ({ shape }) => {
    const start = float32(shape, [1, 2, 3, 4, 5, 6])
    const program = trace('step', stepInputs(shape), (at) =>
      takeStep(at, mul(predicted(at, constant(float32(shape, [0, 0, 0, 0, 0, 0]))), 2)),
    )
    const executable = await runtime.compile(program, { updates: stepUpdates })
    // Without v̂ the prediction is 2·α·x_t. The second step writes where the start lay.
    const steps = samplerSteps(linearSchedule(5, 0), { kind: 'ddim', steps: 2, variance: 0 }, 'clean')
    const factors = steps.map(({ logSnr, keep, clean }) => keep + clean * 2 * alphaOf(logSnr))
    const chain = { steps, shape, seed: 1, name: 'chain', first: 0, start }
    const end = await runChain(runtime, chain, {}, () => ({ program: executable, feeds: {} }))
    expect(end.shape).toEqual(shape)
    floats(end).forEach((x, i) => {
      expect(x).toBeCloseTo(factors[0] * factors[1] * (i + 1), 4)
    })
    expect([...floats(start)]).toEqual([1, 2, 3, 4, 5, 6])
  },
)
