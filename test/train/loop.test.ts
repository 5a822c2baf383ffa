/** @file The training loop: what it feeds and counts on a made-up executable, and its promises on the real runtime. */
import { describe, expect, it } from 'vitest'
import { float32, floats, type HostTensor, scalar } from '../../src/engine/host/tensor.ts'
import { param } from '../../src/engine/nn/params.ts'
import { add, mul, reduceMean, square, sub } from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { DeviceState } from '../../src/engine/runtime/runtime.ts'
import { adamW } from '../../src/train/adamw.ts'
import { DivergedError, type LoopOptions, type StepReport, trainLoop } from '../../src/train/loop.ts'
import type { Objective } from '../../src/train/objective.ts'
import { initialState } from '../../src/train/state.ts'
import { compileStep, placeState, type TrainStep, traceStep } from '../../src/train/trainStep.ts'
import type { UpdateRule } from '../../src/train/update.ts'
import { normal } from '../method/support.ts'

type Tensors = Readonly<Record<string, HostTensor>>

const optimizer = adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 })
const rule: UpdateRule = { optimizer, clipNorm: 1 }
const rate = { lr: 1e-2, warmupSteps: 4, finalFraction: 0.1 }
const noState: DeviceState = {
  names: [],
  read: async () => ({}),
  write: async () => undefined,
  change: async () => undefined,
  dispose: async () => undefined,
}

/** Answers each step with the next loss and gradient norm, and keeps what it was fed: feeds of all parts, and scalars. */
const scripted = (
  parts: number,
  answer: (step: number) => { readonly loss?: number; readonly gradNorm?: number },
): { readonly trainStep: TrainStep; readonly fed: (readonly Tensors[])[] } => {
  const fed: (readonly Tensors[])[] = []
  const trainStep: TrainStep = {
    optimizer,
    parts,
    executables: [],
    run: async (feeds, scalars) => {
      const { loss = 1, gradNorm = 1 } = answer(fed.length)
      fed.push([...(await Promise.all(Array.from({ length: parts }, (_, part) => feeds(part)))), scalars])
      return { loss: scalar(loss), gradNorm: scalar(gradNorm), extra: scalar(fed.length) }
    },
    dispose: async () => undefined,
  }
  return { trainStep, fed }
}

/** Runs the loop on a scripted step and returns all reports with the result or the error. */
const runScripted = async (
  answer: Parameters<typeof scripted>[1],
  { parts = 1, ...options }: Partial<LoopOptions> & { readonly parts?: number } = {},
): Promise<{
  reports: StepReport[]
  fed: (readonly Tensors[])[]
  done: number | null
  error: Error | null
}> => {
  const { trainStep, fed } = scripted(parts, answer)
  const reports: StepReport[] = []
  const loop = trainLoop({
    trainStep,
    state: noState,
    batch: 12,
    from: 0,
    steps: 30,
    rate,
    emaDecay: 0.9,
    feeds: async (step, { first, count, of }) => ({ position: float32([4], [step, first, count, of]) }),
    onStep: async (report) => {
      reports.push(report)
    },
    shouldStop: () => false,
    ...options,
  })
  const [done, error] = await loop.then(
    (n) => [n, null] as const,
    (e: Error) => [null, e] as const,
  )
  return { reports, fed, done, error }
}

describe('the loop feeds', () => {
  it('learning rate, corrections and decay in closed form, from the step it starts at', async () => {
    const { fed, done, reports } = await runScripted(() => ({}), { from: 2, steps: 20, emaDecay: 0.5 })
    expect(done).toBe(20)
    expect(reports.map(({ step }) => step)).toEqual(Array.from({ length: 18 }, (_, i) => i + 3))
    for (const [i, [batch, feeds]] of fed.entries()) {
      const step = i + 2
      expect([...floats(batch.position)]).toEqual([step, 0, 12, 12])
      const cosine = 0.5 * (1 + Math.cos((Math.PI * (step - 4)) / 16))
      const expected = {
        lr: step < 4 ? (1e-2 * (step + 1)) / 4 : 1e-2 * (0.1 + 0.9 * cosine),
        correction1: 1 / (1 - 0.9 ** (step + 1)),
        correction2: 1 / (1 - 0.99 ** (step + 1)),
        emaDecay: Math.min(0.5, (1 + step) / (10 + step)),
      }
      expect(Object.keys(feeds).sort()).toEqual(Object.keys(expected).sort())
      for (const [name, value] of Object.entries(expected)) {
        expect(feeds[name].shape).toEqual([])
        expect(floats(feeds[name])[0], `${name} at ${step}`).toBe(Math.fround(value))
      }
      expect(reports[i].lr).toBe(floats(feeds.lr)[0])
    }
    // The decay is held back early on and reaches its full value.
    expect(floats(fed[0][1].emaDecay)[0]).toBeLessThan(0.5)
    expect(floats(fed[17][1].emaDecay)[0]).toBe(0.5)
  })

  it('the parts of a batch in order, of one size, and says when there are none such', async () => {
    const { fed } = await runScripted(() => ({}), { parts: 3, steps: 2 })
    expect(fed.map((feeds) => feeds.slice(0, 3).map(({ position }) => [...floats(position)]))).toEqual(
      [0, 1].map((step) => [0, 4, 8].map((first) => [step, first, 4, 12])),
    )
    const { error } = await runScripted(() => ({}), { parts: 5 })
    expect(error!.message).toBe('batch: 5 parts do not divide 12; take a divisor')
  })

  it('and reports loss, norm and the objective’s own outputs', async () => {
    const { reports } = await runScripted((step) => ({ loss: step, gradNorm: 2 * step }), { steps: 3 })
    expect(reports.map(({ loss, gradNorm }) => [loss, gradNorm])).toEqual([
      [0, 0],
      [1, 2],
      [2, 4],
    ])
    for (const [i, { outputs }] of reports.entries()) expect(outputs).toEqual({ extra: scalar(i + 1) })
  })
})

describe('steps that are not finite', () => {
  const bad = [{ loss: Number.NaN }, { loss: Number.POSITIVE_INFINITY }, { gradNorm: Number.NaN }]

  it('are counted, whichever of loss and norm is not finite', async () => {
    const { reports, done } = await runScripted((step) => bad[step - 1] ?? {}, { steps: 6 })
    expect(done).toBe(6)
    expect(reports.map(({ skipped }) => skipped)).toEqual([0, 1, 2, 3, 3, 3])
  })

  it('twenty in a row end training', async () => {
    const { reports, error, fed } = await runScripted((step) => (step < 5 ? {} : { loss: Number.NaN }))
    expect(error).toBeInstanceOf(DivergedError)
    expect(error!.message).toBe(
      'the last 20 updates, up to step 25, had no finite gradient (loss NaN) and changed nothing',
    )
    expect(fed).toHaveLength(25)
    expect(reports.at(-1)).toMatchObject({ step: 25, skipped: 20, skippedInARow: 20 })
  })

  it.each([1, 3])('%d at the end are a failure, too', async (bad) => {
    const { reports, error } = await runScripted((step) => (step < 30 - bad ? {} : { loss: Number.NaN }))
    expect(error).toBeInstanceOf(DivergedError)
    expect(error!.message).toMatch(
      bad === 1 ? /^the last update, up to step 30,/ : /^the last 3 updates, up to step 30,/,
    )
    expect(reports.map(({ skippedInARow }) => skippedInARow)).toEqual(
      Array.from({ length: 30 }, (_, i) => Math.max(0, i + 1 - (30 - bad))),
    )
  })

  it('a finite step in between starts the count again', async () => {
    const answer = (step: number): { loss?: number } => (step % 20 === 19 ? {} : { loss: Number.NaN })
    const { done, reports, error } = await runScripted(answer, { steps: 60 })
    expect(error).toBeNull()
    expect(done).toBe(60)
    expect(reports.at(-1)!.skipped).toBe(57)
  })
})

describe('stopping', () => {
  it('happens before the next step and says how many are done', async () => {
    let seen = 0
    const { done, fed } = await runScripted(() => ({}), {
      from: 3,
      onStep: async ({ step }) => {
        seen = step
      },
      shouldStop: () => seen === 7,
    })
    expect(done).toBe(7)
    expect(fed).toHaveLength(4)
  })

  it('before the first step does nothing at all', async () => {
    const { done, fed } = await runScripted(() => ({}), { from: 3, shouldStop: () => true })
    expect([done, fed.length]).toEqual([3, 0])
  })

  it('from the last step on there is nothing to do', async () => {
    const { done, fed } = await runScripted(() => ({}), { from: 30 })
    expect([done, fed.length]).toEqual([30, 0])
  })
})

/** Linear regression with two parameters. */
const regression: Objective = {
  name: 'regression',
  spec: { weight: param([3, 2], 1), bias: param([2], 0) },
  inputs: { x: { shape: [4, 3] }, y: { shape: [4, 2] } },
  trace: (lookUp, { x, y }) => {
    const error = sub(add(matmul(x, lookUp('weight')), lookUp('bias')), y)
    const squares = square(error)
    return { loss: reduceMean(squares), report: { squares: mul(squares, 2) } }
  },
}

const runtime = new NodeRuntime({ threads: 1 })

const feedsAt = async (step: number): Promise<Tensors> => ({
  x: normal(`x/${step}`, [4, 3]),
  y: normal(`y/${step}`, [4, 2]),
})

/** A compiled regression step with its state: the initial one, or the given one. */
const prepared = async (from?: Tensors): Promise<{ trainStep: TrainStep; state: DeviceState }> => {
  const step = traceStep(regression, rule, 1)
  const params = { weight: normal('weight', [3, 2]), bias: normal('bias', [2]) }
  const state = await placeState(runtime, step, from ?? initialState(step.layout, params))
  return { trainStep: await compileStep(runtime, step), state }
}

type Prepared = Awaited<ReturnType<typeof prepared>>

const loopOn = async (
  { trainStep, state }: Prepared,
  from: number,
  steps: number,
  feeds: LoopOptions['feeds'] = feedsAt,
): Promise<StepReport[]> => {
  const reports: StepReport[] = []
  await trainLoop({
    ...{ trainStep, state, batch: 4, from, steps: 20, rate, emaDecay: 0.9, feeds },
    onStep: async (report) => {
      reports.push(report)
    },
    shouldStop: () => reports.length === steps - from,
  })
  return reports
}

describe('with the Node runtime', () => {
  it('a NaN fed once leaves parameters, moments and averages as they were, and training goes on', async () => {
    for (const poisonedStep of [0, 3]) {
      const run = await prepared()
      await loopOn(run, 0, poisonedStep)
      const before = await run.state.read()
      const poison = async (step: number): Promise<Tensors> => {
        const feeds = await feedsAt(step)
        const x = floats(feeds.x).slice()
        if (step === poisonedStep) x[5] = Number.NaN
        return { ...feeds, x: float32([4, 3], x) }
      }
      const [poisoned] = await loopOn(run, poisonedStep, poisonedStep + 1, poison)
      expect(poisoned.loss).toBeNaN()
      expect(poisoned.skipped).toBe(1)
      expect(await run.state.read()).toEqual(before)
      const [next] = await loopOn(run, poisonedStep + 1, poisonedStep + 2, poison)
      expect(next.skipped).toBe(0)
      const after = await run.state.read()
      expect(Object.keys(after).sort()).toEqual(['ema/0', 'moment1/0', 'moment2/0', 'param/0'])
      for (const [name, tensor] of Object.entries(after)) {
        expect(floats(tensor).every(Number.isFinite), name).toBe(true)
        expect(tensor, name).not.toEqual(before[name])
      }
    }
  })

  it('a failed run throws one sentence and disturbs neither the state nor later runs', async () => {
    const [run, reference] = [await prepared(), await prepared()]
    const before = await run.state.read()
    const { y } = await feedsAt(0)
    const lacking = run.trainStep.run(async () => ({ y }), {}, run.state)
    // Queued behind the failing run before that has failed.
    const queued = loopOn(run, 0, 5)
    await expect(lacking).rejects.toThrow(/^program regression: input 'x' is missing; feed it or hold it/)
    const reports = await queued
    const wrong = { ...(await feedsAt(5)), x: normal('x', [3, 4]) }
    await expect(loopOn(run, 5, 6, async () => wrong)).rejects.toThrow(
      /^program regression: input 'x' is float32\[3,4\], expected float32\[4,3\]; feed that type$/,
    )
    reports.push(...(await loopOn(run, 5, 10)))
    const expected = await loopOn(reference, 0, 10)
    expect(reports.map(({ loss }) => loss)).toEqual(expected.map(({ loss }) => loss))
    expect(await run.state.read()).toEqual(await reference.state.read())
    expect(await run.state.read()).not.toEqual(before)
  })

  it('ten steps and ten more in a fresh state equal twenty unbroken, bit for bit', async () => {
    const [unbroken, first] = [await prepared(), await prepared()]
    const whole = await loopOn(unbroken, 0, 20)
    const head = await loopOn(first, 0, 10)
    const second = await prepared(await first.state.read())
    const tail = await loopOn(second, 10, 20)
    expect(whole).toHaveLength(20)
    expect([...head, ...tail]).toEqual(whole)
    expect(await second.state.read()).toEqual(await unbroken.state.read())
    // Reading gave a copy: the first state did not move along with the second.
    expect(await first.state.read()).not.toEqual(await second.state.read())
  })
})
