/** @file State that is updated where it lies: which tensors may be, and that no program can tell the difference. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { presetByName } from '../../src/config/load.ts'
import { modelConfig } from '../../src/config/schema.ts'
import type { HostTensor, Shape } from '../../src/engine/host/tensor.ts'
import type { Value } from '../../src/engine/ir/graph.ts'
import { type Program, trace } from '../../src/engine/ir/program.ts'
import { rawBytes } from '../../src/engine/onnx/proto.ts'
import {
  abs,
  add,
  clip,
  div,
  exp,
  expand,
  gelu,
  less,
  maximum,
  mul,
  neg,
  reduceSum,
  reshape,
  sigmoid,
  silu,
  sqrt,
  square,
  stopGradient,
  sub,
  tanh,
  transpose,
  where,
} from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { softmax } from '../../src/engine/ops/norm.ts'
import { concat, pad, slice, split } from '../../src/engine/ops/slice.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { NativeState } from '../../src/engine/runtime/node/state.ts'
import { updatedInPlace } from '../../src/engine/runtime/overwrite.ts'
import { autoencoderObjective } from '../../src/method/autoencoder.ts'
import { adamW } from '../../src/train/adamw.ts'
import { muon } from '../../src/train/muon.ts'
import { programsOf, traceStep } from '../../src/train/trainStep.ts'
import { normal } from '../method/support.ts'

const runtime = new NodeRuntime({ threads: 2 })
/** State in the host's arrays, in memory of the runtime's own, and there with runs captured. */
const holders = [
  runtime,
  new NodeRuntime({ threads: 2, ownMemory: true }),
  new NodeRuntime({ threads: 2, ownMemory: true, cuda: { graph: true } }),
]

type Tensors = Record<string, HostTensor>
type Updates = Readonly<Record<string, string>>

const steps = 2

/** What every step returned, and the state at the end. */
interface Trajectory {
  readonly returned: readonly Tensors[]
  readonly state: Tensors
}

/** Two steps with the state in the runtime, updated in place where it may be. */
const held = async (
  holder: NodeRuntime,
  program: Program,
  updates: Updates,
  initial: Tensors,
): Promise<Trajectory> => {
  const copies = Object.entries(initial).map(([name, t]) => [name, { ...t, data: t.data.slice() }] as const)
  const state = await holder.place(Object.fromEntries(copies))
  const executable = await holder.compile(program, { updates })
  const returned: Tensors[] = []
  for (let i = 0; i < steps; i++) returned.push(await executable.run({}, state))
  const end = await state.read()
  await executable.dispose()
  await state.dispose()
  return { returned, state: end }
}

/** The same steps without any state: every output is plain, the host hands the next values on. */
const swapped = async (program: Program, updates: Updates, initial: Tensors): Promise<Trajectory> => {
  const executable = await runtime.compile(program)
  const returned: Tensors[] = []
  let state = initial
  const next = new Set(Object.values(updates))
  for (let i = 0; i < steps; i++) {
    const outputs = await executable.run(state)
    returned.push(Object.fromEntries(Object.entries(outputs).filter(([name]) => !next.has(name))))
    const replaced = Object.entries(updates).map(([name, output]) => [name, outputs[output]] as const)
    state = { ...state, ...Object.fromEntries(replaced) }
  }
  await executable.dispose()
  return { returned, state }
}

/** All numbers of a trajectory, so that NaN equals NaN and 0 differs from −0. */
const bytesOf = ({ returned, state }: Trajectory): Buffer =>
  Buffer.concat(
    [...returned, state].flatMap((tensors) =>
      Object.keys(tensors)
        .sort()
        .map((name) => Buffer.from(rawBytes(tensors[name]))),
    ),
  )

const expectSame = async (program: Program, updates: Updates): Promise<void> => {
  const initial = Object.fromEntries(
    Object.entries(program.inputs).map(([name, v]) => [name, normal(name, v.shape)]),
  )
  const plain = bytesOf(await swapped(program, updates, initial))
  for (const holder of holders)
    expect(bytesOf(await held(holder, program, updates, initial)).equals(plain)).toBe(true)
}

type Body = (inputs: Readonly<Record<'w' | 'x', Value>>) => Readonly<Record<string, Value>>

const updates = { w: 'next' }
const squareProgram = (body: Body, shape: Shape = [300, 300]): Program =>
  trace('update', { w: { shape }, x: { shape } }, body)

/** Updates that a kernel, or what the library fuses to one, would spoil in place. */
const spoiled: readonly (readonly [string, Body])[] = [
  ['a product with itself', ({ w }) => ({ next: matmul(w, w) })],
  ['a transposition', ({ w }) => ({ next: transpose(w, [1, 0]) })],
  ['a product with an addend, fused to Gemm', ({ w, x }) => ({ next: add(matmul(w, x), x) })],
  [
    'that, when merging equal nodes leaves the product one reader',
    ({ w, x }) => {
      const product = matmul(w, x)
      return { next: add(product, x), other: mul(add(product, x), 3) }
    },
  ],
  ['GELU, fused', ({ w }) => ({ next: gelu(w) })],
  ['SiLU, fused to QuickGelu', ({ w }) => ({ next: silu(w) })],
  ['x·sigmoid(x), fused to QuickGelu', ({ w }) => ({ next: mul(w, sigmoid(w)) })],
  ['a maximum, computed operand by operand', ({ w, x }) => ({ next: maximum(x, w) })],
  ['softmax', ({ w }) => ({ next: softmax(w) })],
  ['a sum with the transposed', ({ w }) => ({ next: sub(w, transpose(w, [1, 0])) })],
  [
    'a concatenation of parts in another order',
    ({ w }) => ({ next: concat([...split(w, 0, [100, 200])].reverse(), 0) }),
  ],
  ['itself', ({ w }) => ({ next: w })],
  ['the current value as an output', ({ w, x }) => ({ next: add(w, x), old: w })],
  [
    'the current value in another shape as an output',
    ({ w, x }) => ({ next: add(w, x), old: reshape(w, [90000]) }),
  ],
  ['a later reader', ({ w, x }) => ({ next: add(w, x), late: matmul(w, x) })],
  [
    'a later reader of another shape',
    ({ w, x }) => ({ next: add(w, x), late: reduceSum(reshape(w, [90000])) }),
  ],
  ['a later reader past stopGradient', ({ w, x }) => ({ next: add(w, x), late: exp(stopGradient(w)) })],
  [
    'a later product with the transposed',
    ({ w, x }) => {
      const turned = transpose(w, [1, 0])
      return { next: add(w, reduceSum(turned)), late: matmul(turned, x), later: exp(turned) }
    },
  ],
  [
    'a later reader of the current value plus 0',
    ({ w, x }) => {
      const same = add(w, 0)
      return { next: add(w, reduceSum(same)), late: matmul(mul(same, 1), x) }
    },
  ],
  [
    'a later reader of an expansion',
    ({ w, x }) => ({ next: add(w, x), late: exp(expand(w, [2, 300, 300])) }),
  ],
]

/** Updates that are right in place. */
const safe: readonly (readonly [string, Body])[] = [
  ['a sum', ({ w, x }) => ({ next: add(w, x) })],
  ['a sum with itself', ({ w }) => ({ next: add(w, w) })],
  ['an average', ({ w, x }) => ({ next: add(w, mul(sub(x, w), 0.1)) })],
  ['a square', ({ w }) => ({ next: square(w) })],
  [
    'readers that come before, through every alias',
    ({ w, x }) => {
      const seen = [reshape(w, [90000]), transpose(w, [1, 0]), slice(w, 0, 0, 5), matmul(w, x)]
      const sum = seen.map((v) => reduceSum(v)).reduce((a, b) => add(a, b))
      return { sum, next: add(w, mul(x, sum)) }
    },
  ],
  [
    'readers of the next value',
    ({ w, x }) => {
      const next = add(w, x)
      return { next, late: matmul(next, x), view: reshape(next, [90000]) }
    },
  ],
]

describe('updatedInPlace', () => {
  it.each(spoiled)('refuses %s', async (_, body: Body) => {
    const program = squareProgram(body)
    expect(updatedInPlace(program, updates)).toEqual(new Set())
    await expectSame(program, updates)
  })

  it.each(safe)('takes %s', async (_, body) => {
    const program = squareProgram(body)
    expect(updatedInPlace(program, updates)).toEqual(new Set(['w']))
    await expectSame(program, updates)
  })

  it('takes two states apart: each may read the other before both are made', async () => {
    const program = squareProgram(({ w, x }) => {
      const scale = reduceSum(matmul(w, x))
      return { nextW: sub(w, mul(w, scale)), nextX: sub(x, mul(x, scale)) }
    })
    const both = { w: 'nextW', x: 'nextX' }
    expect(updatedInPlace(program, both)).toEqual(new Set(['w', 'x']))
    await expectSame(program, both)
    // Crosswise, one of the two is made first, and the other then reads what is gone.
    const crossed = squareProgram(({ w, x }) => ({ nextW: sub(w, x), nextX: sub(x, w) }))
    expect(updatedInPlace(crossed, both)).toEqual(new Set())
    await expectSame(crossed, both)
  })

  it('takes every slab of a training step: parameters, moments, averages, and the sums over parts', () => {
    const config = presetByName('quickstart')
    const objective = autoencoderObjective(modelConfig(config, 9), 2)
    for (const weightDecay of [0, 0.1]) {
      const byAdamW = adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay })
      const byMuon = muon({ momentum: 0.95, weightDecay, takes: () => true }, byAdamW)
      for (const [optimizer, parts] of [byAdamW, byMuon].flatMap((own) =>
        [1, 2].map((n) => [own, n] as const),
      )) {
        const step = traceStep(objective, { optimizer, clipNorm: 1 }, parts)
        const { slabs, copies } = step.layout
        const held = [...copies.values()].reduce((sum, own) => sum + own.length, 0)
        const updated = programsOf(step).map(({ program, updates }) => {
          expect(updatedInPlace(program, updates)).toEqual(new Set(Object.keys(updates)))
          return Object.keys(updates).length
        })
        // In parts, a sum of each slab and that of the loss.
        expect(updated).toEqual(parts === 1 ? [held] : [slabs.length + 1, held])
      }
    }
  })
})

describe('state on the CPU', () => {
  it.each([
    ["the host's memory", runtime],
    ["memory of the runtime's own", holders[1]],
  ])('in %s stays where it is updated in place, and else takes turns between two', async (_, holder) => {
    for (const [body, inPlace] of [
      [({ w, x }) => ({ next: add(w, x) }), true],
      [({ w }) => ({ next: matmul(w, w) }), false],
    ] as readonly (readonly [Body, boolean])[]) {
      const executable = await holder.compile(squareProgram(body), { updates })
      const state = (await holder.place({
        w: normal('w', [300, 300]),
        x: normal('x', [300, 300]),
      })) as NativeState
      const seen = new Set([state.tensor('w')])
      for (let i = 0; i < 4; i++) {
        await executable.run({}, state)
        seen.add(state.tensor('w'))
      }
      expect(seen.size).toBe(inPlace ? 1 : 2)
      await executable.dispose()
      await state.dispose()
    }
  })
})

describe('updates that do not fit', () => {
  const program = squareProgram(({ w, x }) => ({ next: add(w, x), sum: reduceSum(w) }), [2, 2])
  it.each([
    [{ v: 'next' }, "program update: update of 'v' by 'next': the program has no input 'v'; declare it"],
    [{ w: 'none' }, "program update: update of 'w' by 'none': the program has no output 'none'; return it"],
    [
      { w: 'sum' },
      "program update: update of 'w' by 'sum': the output is float32[], expected float32[2,2] as the input; return that type",
    ],
    [
      { w: 'next', x: 'next' },
      "program update: update of 'x' by 'next': 'w' takes that output already; return the value under a second name",
    ],
  ])('%j is refused', async (updates, message) => {
    await expect(runtime.compile(program, { updates: updates as Updates })).rejects.toThrow(message)
  })
})

/** One step of a random graph: makes a value of the given ones, all of them n × n. */
type Growth = (pick: (i: number) => Value, n: number) => Value

const turned = (v: Value): Value => transpose(v, [1, 0])

/** Values stay small, so that none becomes NaN where the others would show a difference. */
const tame = (v: Value): Value => div(v, add(1, abs(v)))

const growths: readonly Growth[] = [
  (pick) => add(pick(0), pick(1)),
  (pick) => sub(pick(0), pick(1)),
  (pick) => mul(tame(pick(0)), pick(1)),
  (pick) => add(pick(0), 0),
  (pick) => mul(pick(0), 1),
  (pick) => neg(pick(0)),
  (pick) => square(tame(pick(0))),
  (pick) => sqrt(abs(pick(0))),
  (pick) => tanh(pick(0)),
  (pick) => sigmoid(pick(0)),
  (pick) => mul(pick(0), sigmoid(pick(0))),
  (pick) => gelu(pick(0)),
  (pick) => clip(pick(0), -0.5, 0.5),
  (pick) => maximum(pick(0), pick(1)),
  (pick) => tame(matmul(pick(0), pick(1))),
  (pick) => matmul(tame(pick(0)), softmax(pick(1)), { transB: true }),
  (pick) => add(matmul(softmax(pick(0)), pick(1)), pick(2)),
  (pick) => turned(pick(0)),
  (pick, n) => reshape(reshape(pick(0), [n * n]), [n, n]),
  (pick, n) => turned(reshape(turned(pick(0)), [n, n])),
  (pick) => stopGradient(pick(0)),
  (pick, n) => add(slice(pick(0), 0, 0, 1), expand(slice(pick(1), 1, 0, 1), [n, n])),
  (pick, n) => concat([slice(pick(0), 0, 1, n), slice(pick(1), 0, 0, 1)], 0),
  (pick, n) => concat([...split(pick(0), 1, [1, n - 1])].reverse(), 1),
  (pick, n) => pad(slice(pick(0), 0, 1, n), [1, 0], [0, 0]),
  (pick) => mul(pick(0), tame(reduceSum(pick(1)))),
  (pick) => where(less(pick(0), 0.5), pick(1), pick(2)),
]

const states = ['a', 'b', 'c'] as const

/** A random graph over three n × n states: what grows on what, which values are the next ones, which are returned. */
interface Plan {
  readonly n: number
  readonly nodes: readonly { readonly growth: number; readonly picks: readonly number[] }[]
  readonly next: readonly number[]
  readonly returned: readonly number[]
}

const plans: fc.Arbitrary<Plan> = fc.record({
  n: fc.constantFrom(2, 5, 33, 100),
  nodes: fc.array(
    fc.record({
      growth: fc.nat(growths.length - 1),
      picks: fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 10 },
  ),
  next: fc.array(fc.nat(), { minLength: states.length, maxLength: states.length }),
  returned: fc.array(fc.nat(), { maxLength: 2 }),
})

const grow = ({ n, nodes, next, returned }: Plan): Program => {
  const specs = Object.fromEntries(states.map((name) => [name, { shape: [n, n] }]))
  return trace('random', specs, (inputs) => {
    const values = Object.values(inputs)
    const pick = (i: number): Value => values[i % values.length]
    for (const { growth, picks } of nodes) values.push(growths[growth]((i) => pick(picks[i]), n))
    // The last values most often: earlier ones leave the rest of the graph without use.
    const late = (i: number): Value => values.at(-1 - (i % Math.min(4, values.length)))!
    return {
      ...Object.fromEntries(next.map((i, k) => [`next:${states[k]}`, late(i)])),
      ...Object.fromEntries(returned.map((i, k) => [`out${k}`, pick(i)])),
    }
  })
}

describe('random programs with state', () => {
  it('compute bit for bit what they compute without state, for any updates', async () => {
    let [inPlace, elsewhere] = [0, 0]
    await fc.assert(
      fc.asyncProperty(plans, fc.subarray([...states], { minLength: 1 }), async (plan, updated) => {
        const program = grow(plan)
        const updates = Object.fromEntries(updated.map((name) => [name, `next:${name}`]))
        const taken = updatedInPlace(program, updates).size
        inPlace += taken
        elsewhere += updated.length - taken
        await expectSame(program, updates)
      }),
      { numRuns: 150 },
    )
    // Both ways are taken often enough to mean something.
    expect(inPlace).toBeGreaterThan(10)
    expect(elsewhere).toBeGreaterThan(10)
  }, 120_000)
})
