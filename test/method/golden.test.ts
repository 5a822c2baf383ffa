/**
 * @file Losses, gradients, optimiser and sampling steps against tools/golden.py, an independent float64 implementation
 * of the method in PyTorch.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { float32, floats, type HostTensor, int32, scalar, zeros } from '../../src/engine/host/tensor.ts'
import { input, type Value } from '../../src/engine/ir/graph.ts'
import type { Program } from '../../src/engine/ir/program.ts'
import { flattenSpec, param, type Spec } from '../../src/engine/nn/params.ts'
import { mul, reduceMean } from '../../src/engine/ops/core.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { StepInputs } from '../../src/method/chain.ts'
import { decoderStep } from '../../src/method/codec.ts'
import { type SamplerConfig, type Step, samplerSteps } from '../../src/method/diffusion/sampler.ts'
import { cosineSchedule, linearSchedule, resolutionShift } from '../../src/method/diffusion/schedule.ts'
import { elboWeight, sigmoidWeight } from '../../src/method/diffusion/weighting.ts'
import { guidedStep } from '../../src/method/generator.ts'
import { type AdamWConfig, adamW } from '../../src/train/adamw.ts'
import type { Objective } from '../../src/train/objective.ts'
import { packSlab } from '../../src/train/slabs.ts'
import {
  initialState,
  layoutOf,
  namedStates,
  packState,
  readState,
  stateInputs,
} from '../../src/train/state.ts'
import { traceTrainStep } from '../../src/train/step.ts'
import { globalNorm, stepFeeds, stepInputs, type UpdateRule, update } from '../../src/train/update.ts'
import {
  baseOf,
  decoderOf,
  evaluate,
  mismatches,
  readGolden,
  relativeError,
  stage1Spec,
  stage1Terms,
  stage2Nats,
  stage2Spec,
  stepOf,
  type Tensors,
  tinyConfig,
  under,
} from './support.ts'

const tolerance = 1e-4
const B = 3
const pixels = tinyConfig.size ** 2

const shapesOf = (spec: Spec): Record<string, readonly number[]> =>
  Object.fromEntries(flattenSpec(spec).map(({ path, spec: { shape } }) => [path, shape]))
const shapesIn = (tensors: Tensors): Record<string, readonly number[]> =>
  Object.fromEntries(Object.entries(tensors).map(([path, { shape }]) => [path, shape]))

/** Loss, terms and the gradient of every parameter. */
const lossAndGradients = (
  spec: Spec,
  lookUp: (path: string) => Value,
  loss: Value,
  terms: Readonly<Record<string, Value>>,
): Record<string, Value> => {
  const paths = flattenSpec(spec).map(({ path }) => path)
  const gradients = gradient(loss, paths.map(lookUp))
  return {
    loss,
    ...terms,
    ...Object.fromEntries(paths.map((path, i) => [`gradient/${path}`, gradients[i]])),
  }
}

const stage1Loss = (lookUp: (path: string) => Value, inputs: Readonly<Record<string, Value>>) => {
  const terms = stage1Terms(tinyConfig, lookUp, inputs)
  return { terms: { ...terms }, loss: mul(reduceMean(terms.totalNats), 1 / pixels) }
}

describe('stage 1', () => {
  const spec = stage1Spec(tinyConfig)
  let golden: Tensors
  let params: Tensors
  const run = (encoderShare: number): Promise<Record<string, HostTensor>> => {
    const z0LogSnr = float32([B], Array(B).fill(5) as number[])
    const feeds = { ...under(golden, 'input'), encoderShare: scalar(encoderShare), z0LogSnr }
    return evaluate(spec, params, feeds, (lookUp, inputs) => {
      const { loss, terms } = stage1Loss(lookUp, inputs)
      return lossAndGradients(spec, lookUp, loss, terms)
    })
  }
  let whole: Record<string, HostTensor>
  beforeAll(async () => {
    golden = readGolden('stage1')
    params = under(golden, 'param')
    whole = await run(1)
  })

  it('has the parameters that the architecture describes', () => {
    expect(shapesIn(params)).toEqual(shapesOf(spec))
  })

  it('weights examples by the formulas', () => {
    const z = linearSchedule(5, -10)
    const x = cosineSchedule(10, -10, resolutionShift(tinyConfig.size))
    const xWeight = sigmoidWeight(tinyConfig.decoder.bias, tinyConfig.decoder.lossFactor)
    const [zTimes, xTimes] = [
      [0.05, 0.45, 0.9],
      [0.2, 0.6, 0.85],
    ]
    const inputs = under(golden, 'input')
    const ours = {
      zLogSnr: zTimes.map(z.logSnr),
      zWeight: zTimes.map((t) => elboWeight(z, t)),
      xLogSnr: xTimes.map(x.logSnr),
      xWeight: xTimes.map((t) => xWeight(x, t)),
    }
    for (const [name, values] of Object.entries(ours)) {
      for (const [i, value] of values.entries()) {
        expect(value / floats(inputs[name])[i], name).toBeCloseTo(1, 6)
      }
    }
  })

  it.each(['priorNats', 'terminalNats', 'decoderNats'])('agrees on %s of every example', (term) => {
    const expected = floats(golden[`output/${term}`])
    expect(expected).toHaveLength(B)
    for (const [i, nats] of floats(whole[term]).entries()) expect(nats / expected[i]).toBeCloseTo(1, 4)
  })

  it('agrees on the latent and the loss per pixel', () => {
    expect(mismatches(whole, { z: golden['output/z'], loss: golden['output/loss'] }, 1e-5)).toEqual({})
  })

  it('agrees on the gradient of every parameter', () => {
    expect(Object.keys(under(golden, 'gradient'))).toEqual(Object.keys(params))
    expect(mismatches(under(whole, 'gradient'), under(golden, 'gradient'), tolerance)).toEqual({})
  })

  it("scales the prior's gradient into the encoder and nothing else by encoderShare", async () => {
    const shared = await run(0.3)
    const expected = { ...under(golden, 'gradient'), ...under(golden, 'gradient03') }
    expect(mismatches(under(shared, 'gradient'), expected, tolerance)).toEqual({})
    expect(Object.keys(under(golden, 'gradient03')).every((path) => path.startsWith('encoder.'))).toBe(true)
    const terms = {
      priorNats: whole.priorNats,
      terminalNats: whole.terminalNats,
      decoderNats: whole.decoderNats,
    }
    expect(mismatches(shared, terms, 1e-5)).toEqual({})
  })

  it('follows the trajectory of clipped AdamW with an average of the weights', async () => {
    const z0LogSnr = float32([B], Array(B).fill(5) as number[])
    const feeds = { ...under(golden, 'input'), encoderShare: scalar(1), z0LogSnr }
    const objective: Objective = {
      name: 'stage1',
      spec,
      inputs: feeds,
      trace: (lookUp, inputs) => ({ loss: stage1Loss(lookUp, inputs).loss, report: {} }),
    }
    const optimizer = adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01 })
    const { program, updates, layout } = traceTrainStep(objective, { optimizer, clipNorm: 1 })
    const schedule = {
      rate: { lr: 1e-3, warmupSteps: 0, finalFraction: 1 },
      emaDecay: 0.999,
      steps: 100,
    }
    const runtime = new NodeRuntime({ threads: 2 })
    const executable = await runtime.compile(program, { updates })
    const state = await runtime.place(initialState(layout, params))
    const losses = floats(golden['trajectory/loss'])
    for (const [step, loss] of losses.entries()) {
      const report = await executable.run({ ...feeds, ...stepFeeds(optimizer, schedule, step) }, state)
      expect(floats(report.loss)[0] / loss).toBeCloseTo(1, 4)
      expect(floats(report.gradNorm)[0] / floats(golden['trajectory/gradNorm'])[step]).toBeCloseTo(1, 4)
    }
    const after = await readState(layout, state)
    const difference = (copy: string): Record<string, HostTensor> =>
      Object.fromEntries(
        Object.entries(params).map(([path, before]) => {
          const start = floats(before)
          return [
            path,
            float32(
              before.shape,
              floats(after[`${copy}/${path}`]).map((v, i) => v - start[i]),
            ),
          ]
        }),
      )
    // The moves are 1e-3 of the parameters, so float32 itself leaves 1e-4 of them in doubt.
    expect(mismatches(difference('param'), under(golden, 'moved'), 1e-3)).toEqual({})
    expect(mismatches(difference('ema'), under(golden, 'emaMoved'), 1e-3)).toEqual({})
    await executable.dispose()
    await state.dispose()
  })
})

describe('stage 2', () => {
  const spec = stage2Spec(tinyConfig)

  it('agrees on the loss of every example and the gradient of every parameter', async () => {
    const golden = readGolden('stage2')
    const params = under(golden, 'param')
    expect(shapesIn(params)).toEqual(shapesOf(spec))
    const ours = await evaluate(spec, params, under(golden, 'input'), (lookUp, inputs) => {
      const nats = stage2Nats(tinyConfig, lookUp, inputs)
      return lossAndGradients(spec, lookUp, reduceMean(nats), { nats })
    })
    for (const [i, nats] of floats(golden['output/nats']).entries()) {
      expect(floats(ours.nats)[i] / nats).toBeCloseTo(1, 4)
    }
    expect(mismatches(under(ours, 'gradient'), under(golden, 'gradient'), tolerance)).toEqual({})
    const schedule = cosineSchedule(5, -10)
    for (const [i, t] of [0.15, 0.5, 0.95].entries()) {
      expect(schedule.logSnr(t)).toBeCloseTo(floats(golden['input/zLogSnr'])[i], 5)
      const weight = sigmoidWeight(tinyConfig.base.bias)(schedule, t)
      expect(weight / floats(golden['input/zWeight'])[i]).toBeCloseTo(1, 6)
    }
  })
})

describe('sampling steps', () => {
  let golden: Tensors
  let params: Tensors
  beforeAll(() => {
    golden = readGolden('steps')
    params = { ...under(readGolden('stage1'), 'param'), ...under(readGolden('stage2'), 'param') }
  })

  const feedsOf = (xT: HostTensor, eps: HostTensor, step: Step): Record<keyof StepInputs, HostTensor> => ({
    xT,
    eps,
    logSnr: float32([B], new Float32Array(B).fill(step.logSnr)),
    before: zeros(xT.shape),
    keep: scalar(step.keep),
    clean: scalar(step.clean),
    past: scalar(step.past),
    noise: scalar(step.noise),
  })
  const base = async (step: Step): Promise<HostTensor> => {
    const own = {
      labels: golden.labels,
      'null/labels': int32([B], Array(B).fill(tinyConfig.classes) as number[]),
      guidance: golden.guidance,
    }
    const feeds = { ...feedsOf(golden.zT, golden.zEps, step), ...own }
    const { xS } = await evaluate(stage2Spec(tinyConfig), params, feeds, (lookUp, inputs) => ({
      xS: guidedStep(tinyConfig, baseOf(tinyConfig, lookUp), stepOf(inputs)).x,
    }))
    return xS
  }
  const decoder = async (step: Step): Promise<HostTensor> => {
    const feeds = { ...feedsOf(golden.xT, golden.xEps, step), z0: golden.z0 }
    const { xS } = await evaluate(stage1Spec(tinyConfig), params, feeds, (lookUp, inputs) => ({
      xS: decoderStep(tinyConfig, decoderOf(tinyConfig, lookUp), inputs.z0, stepOf(inputs)).x,
    }))
    return xS
  }
  const baseSteps = (config: Omit<SamplerConfig, 'steps'>) =>
    samplerSteps(linearSchedule(5, -10), { ...config, steps: 3 }, 'noisy')
  const decoderSteps = (config: Omit<SamplerConfig, 'steps'>) =>
    samplerSteps(linearSchedule(10, -10), { ...config, steps: 4 }, 'clean')

  it.each([0, 0.3, 1])(
    'takes a guided base step and a clipped decoder step, ancestral with variance %d',
    async (variance) => {
      const config = { kind: 'ancestral', variance } as const
      expect(
        relativeError(await base(baseSteps(config)[1]), golden[`base/ancestral/${variance}`]),
      ).toBeLessThan(tolerance)
      const xS = await decoder(decoderSteps(config)[2])
      expect(relativeError(xS, golden[`decoder/ancestral/${variance}`])).toBeLessThan(tolerance)
    },
  )

  it('takes the same steps with DDIM', async () => {
    const config = { kind: 'ddim', variance: 0 } as const
    expect(relativeError(await base(baseSteps(config)[1]), golden['base/ddim'])).toBeLessThan(tolerance)
    expect(relativeError(await decoder(decoderSteps(config)[2]), golden['decoder/ddim'])).toBeLessThan(
      tolerance,
    )
  })

  it('ends a pixel chain with the clipped prediction', async () => {
    const last = decoderSteps({ kind: 'ancestral', variance: 0 })[3]
    expect(last).toEqual({ logSnr: 5, keep: 0, clean: 1, past: 0, noise: 0 })
    const xS = await decoder({ ...last, logSnr: 0 }) // at the level of the golden step
    expect(relativeError(xS, golden['decoder/clean'])).toBeLessThan(tolerance)
    expect(floats(golden['decoder/clean']).some((v) => Math.abs(v) === 1)).toBe(true)
  })
})

describe('AdamW', () => {
  const config: AdamWConfig = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 }
  const optimizer = adamW(config)
  const rule: UpdateRule = { optimizer, clipNorm: 1 }
  const copies = ['param', 'moment1', 'moment2', 'ema'] as const
  const runtime = new NodeRuntime({ threads: 1 })

  const specOf = (shapes: Tensors): Spec =>
    Object.fromEntries(Object.entries(shapes).map(([name, { shape }]) => [name, param(shape, 0)]))

  /** The update by fed gradients, and its layout. */
  const traceUpdate = (shapes: Tensors) => {
    const layout = layoutOf(specOf(shapes), optimizer)
    const { slabs } = layout
    const [states, { lr, own, emaDecay, lossScale }, loss] = [
      stateInputs(layout),
      stepInputs(optimizer),
      input('loss', []),
    ]
    const fed = Object.entries(shapes).map(([name, { shape }]) => input(`gradient/${name}`, shape))
    const scaled = new Map(Object.keys(shapes).map((name, i) => [name, mul(fed[i], lossScale)]))
    const { gradNorm, output } = globalNorm([...scaled.values()], lossScale)
    const gradients = slabs.map((slab) => packSlab(slab, scaled))
    const scalars = { lr, own, emaDecay, lossScale }
    const next = namedStates(layout, update(rule, { slabs, states, gradients, gradNorm, loss, scalars }))
    const names = Object.keys(next)
    const program: Program = {
      name: 'adamw',
      inputs: {
        ...namedStates(layout, states),
        ...Object.fromEntries(fed.map((v) => [v.name, v])),
        ...{ loss, lr, ...own, emaDecay, lossScale },
      },
      outputs: {
        gradNorm: output,
        ...Object.fromEntries(names.map((name) => [`next:${name}`, next[name]])),
      },
    }
    return { program, layout, updates: Object.fromEntries(names.map((name) => [name, `next:${name}`])) }
  }

  /** Our moments are running sums without PyTorch's factors (1 − β). */
  const summed = (copy: string, tensors: Tensors): Tensors => {
    const factor = copy === 'moment1' ? 1 - config.beta1 : copy === 'moment2' ? 1 - config.beta2 : 1
    return Object.fromEntries(
      Object.entries(tensors).map(([name, t]) => [
        name,
        float32(
          t.shape,
          floats(t).map((v) => v / factor),
        ),
      ]),
    )
  }

  const scalarsAt = (step: number, lr: number, emaDecay: number): Record<string, HostTensor> => ({
    loss: scalar(1),
    lr: scalar(lr),
    correction1: scalar(1 / (1 - config.beta1 ** (step + 1))),
    correction2: scalar(1 / (1 - config.beta2 ** (step + 1))),
    emaDecay: scalar(emaDecay),
    lossScale: scalar(1024),
  })

  it("agrees with PyTorch's over eight steps, clipped and not", async () => {
    const golden = readGolden('adamw')
    const { program, layout, updates } = traceUpdate(under(golden, 'start'))
    const executable = await runtime.compile(program, { updates })
    const state = await runtime.place(initialState(layout, under(golden, 'start')))
    const [lr, emaDecay, gradNorm] = ['lr', 'emaDecay', 'gradNorm'].map((name) => floats(golden[name]))
    expect(Math.min(...gradNorm)).toBeLessThan(1)
    expect(Math.max(...gradNorm)).toBeGreaterThan(1)
    for (let step = 0; step < lr.length; step++) {
      const gradients = Object.fromEntries(
        Object.entries(under(golden, `gradient/${step}`)).map(([name, t]) => [`gradient/${name}`, t]),
      )
      const scalars = scalarsAt(step, lr[step], emaDecay[step])
      const report = await executable.run({ ...gradients, ...scalars }, state)
      const next = await readState(layout, state)
      for (const copy of copies) {
        const expected = summed(copy, under(golden, `${copy}/${step}`))
        expect(mismatches(under(next, copy), expected, 1e-5), `${copy} at step ${step}`).toEqual({})
      }
      expect(floats(report.gradNorm)[0] / gradNorm[step]).toBeCloseTo(1, 5)
    }
    await executable.dispose()
    await state.dispose()
  })

  it.each([
    ['gradient', Number.NaN],
    ['gradient', Number.POSITIVE_INFINITY],
    ['loss', Number.NaN],
  ])('leaves everything as it was when a %s is %d', async (place, bad) => {
    const golden = readGolden('adamw')
    const start: Record<string, HostTensor> = {}
    const feeds: Record<string, HostTensor> = scalarsAt(4, 0.1, 0.5)
    for (const name of Object.keys(under(golden, 'start'))) {
      for (const copy of copies) start[`${copy}/${name}`] = golden[`${copy}/3/${name}`]
      const clean = golden[`gradient/4/${name}`]
      const poisoned = floats(clean).map((v, i) => (i === 1 ? bad : v))
      feeds[`gradient/${name}`] = place === 'gradient' ? float32(clean.shape, poisoned) : clean
    }
    if (place === 'loss') feeds.loss = scalar(bad)
    const { program, layout, updates } = traceUpdate(under(golden, 'start'))
    const executable = await runtime.compile(program, { updates })
    const state = await runtime.place(packState(layout, start))
    await executable.run(feeds, state)
    expect(await readState(layout, state)).toEqual(start)
    await executable.dispose()
    await state.dispose()
  })
})
