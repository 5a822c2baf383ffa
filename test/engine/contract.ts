/**
 * @file What every runtime is held to (engine/runtime/runtime.ts): each entry does something with one and tells what it saw, as
 * plain values, so that a page can do it too. All numbers are small whole ones: no device rounds them.
 */
import { float32, type HostTensor, int32, zeros } from '../../src/engine/host/tensor.ts'
import { type Program, trace } from '../../src/engine/ir/program.ts'
import { add, cast, greater, mul, reduceSum } from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import type { Runtime } from '../../src/engine/runtime/runtime.ts'

/** A part of the contract. */
export interface Clause {
  readonly observe: (runtime: Runtime) => Promise<unknown>
  /** What every runtime must show. */
  readonly expected: unknown
}

/** Gradient descent on (w·x)²/2 with momentum, in whole numbers: m ← m + (w·x)·x, w ← w − m. */
const program = trace('step', { w: { shape: [2] }, m: { shape: [2] }, x: { shape: [2] } }, ({ w, m, x }) => {
  const error = reduceSum(mul(w, x))
  const nextM = add(m, mul(error, x))
  return { error, nextM, nextW: add(w, mul(nextM, -1)) }
})
const updates = { w: 'nextW', m: 'nextM' }
const initial = (): Record<string, HostTensor> => ({ w: float32([2], [1, 2]), m: float32([2], [0, 0]) })
const x = float32([2], [1, -1])

type Plain = Readonly<Record<string, readonly (number | string)[]>>

const plain = (tensors: Readonly<Record<string, HostTensor>>): Plain =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [
      name,
      Array.from(data as Iterable<number | bigint>, (value) =>
        typeof value === 'bigint' ? `${value}n` : value,
      ),
    ]),
  )

/** Fulfilled or rejected, in order: a message, or null. */
const messages = async (all: readonly Promise<unknown>[]): Promise<(string | null)[]> =>
  (await Promise.allSettled(all)).map((ended) =>
    ended.status === 'fulfilled' ? null : (ended.reason as Error).message,
  )

/** A step and a state of its own, freed at the end. */
const withStep = async <T>(
  runtime: Runtime,
  body: (
    step: Awaited<ReturnType<Runtime['compile']>>,
    state: Awaited<ReturnType<Runtime['place']>>,
  ) => Promise<T>,
): Promise<T> => {
  const [step, state] = [await runtime.compile(program, { updates }), await runtime.place(initial())]
  try {
    return await body(step, state)
  } finally {
    await step.dispose()
    await state.dispose()
  }
}

const once = async (
  runtime: Runtime,
  what: Program,
  feeds: Readonly<Record<string, HostTensor>>,
): Promise<Plain> => {
  const executable = await runtime.compile(what)
  try {
    return plain(await executable.run(feeds))
  } finally {
    await executable.dispose()
  }
}

const refusal = (runtime: Runtime, replaced: Readonly<Record<string, string>>): Promise<unknown> =>
  runtime.compile(program, { updates: replaced })

/** Where both follow from w = [1, 2], m = [0, 0], x = [1, −1]. */
const trajectory = [
  { error: [-1], w: [2, 1], m: [-1, 1] },
  { error: [1], w: [2, 1], m: [0, 0] },
  { error: [1], w: [1, 2], m: [1, -1] },
]

const halfBits = { half: [0x3800, 0xc000, 0x6400] }

/** The clauses by name. */
export const contract: Readonly<Record<string, Clause>> = {
  'takes steps on a state that stays': {
    observe: (runtime) =>
      withStep(runtime, async (step, state) => {
        const seen: unknown[] = []
        for (const _ of trajectory) {
          const returned = plain(await step.run({ x }, state))
          seen.push({ ...returned, ...plain(await state.read()) })
        }
        return { names: state.names, seen }
      }),
    expected: { names: ['w', 'm'], seen: trajectory },
  },
  'runs and reads that nobody waits for come one after the other': {
    observe: (runtime) =>
      withStep(runtime, async (step, state) =>
        (
          await Promise.all([
            step.run({ x }, state),
            state.read(['w']),
            step.run({ x }, state),
            step.run({ x }, state),
            state.read(['m']),
          ])
        ).map(plain),
      ),
    expected: [{ error: [-1] }, { w: [2, 1] }, { error: [1] }, { error: [1] }, { m: [1, -1] }],
  },
  'a state is read and written, in whole and in part': {
    observe: (runtime) =>
      withStep(runtime, async (_, state) => {
        const before = [await state.read(['m']), await state.read([])].map(plain)
        await state.write({ w: float32([2], [5, 6]) })
        const between = plain(await state.read())
        await state.write({ w: float32([2], [7, 8]), m: float32([2], [9, 10]) })
        return [...before, between, plain(await state.read())]
      }),
    expected: [{ m: [0, 0] }, {}, { w: [5, 6], m: [0, 0] }, { w: [7, 8], m: [9, 10] }],
  },
  'a state is changed by the host': {
    observe: (runtime) =>
      withStep(runtime, async (_, state) => {
        await state.change(['m', 'w'], async ([m, w]) => {
          for (const [i, value] of (w.data as Float32Array).entries()) m.data[i] = 10 * value
        })
        return plain(await state.read())
      }),
    expected: { w: [1, 2], m: [10, 20] },
  },
  'what a run writes between the call of a partial write and its turn is kept': {
    observe: (runtime) =>
      withStep(runtime, async (step, state) => {
        const w = float32([2], [3, 3])
        await Promise.all([state.write({ w }), step.run({ x }, state), state.write({ w })])
        return plain(await state.read())
      }),
    expected: { w: [3, 3], m: [0, 0] },
  },
  'a state refuses unknown names and other types, and stays as it was': {
    observe: (runtime) =>
      withStep(runtime, async (_, state) => ({
        messages: await messages([
          state.read(['v']),
          state.write({ v: x }),
          state.write({ w: float32([3], [1, 2, 3]) }),
          state.write({ m: float32([2], [8, 8]), w: int32([2], [1, 2]) }),
        ]),
        after: plain(await state.read()),
      })),
    expected: {
      messages: [
        "state: no tensor is called 'v'; it holds w, m",
        "state: no tensor is called 'v'; it holds w, m",
        "state: input 'w' is float32[3], expected float32[2]; feed that type",
        "state: input 'w' is int32[2], expected float32[2]; feed that type",
      ],
      after: { w: [1, 2], m: [0, 0] },
    },
  },
  'a run refuses what is missing, of another type, or held by no state, and disturbs no other': {
    observe: (runtime) =>
      withStep(runtime, async (step, state) => {
        const good = step.run({ x }, state)
        const refused = messages([
          step.run({}, state),
          step.run({ x: int32([2], [1, 2]) }, state),
          step.run({ ...initial(), x }),
        ])
        const next = step.run({ x }, state)
        return { messages: await refused, errors: [plain(await good), plain(await next)] }
      }),
    expected: {
      messages: [
        "program step: input 'x' is missing; feed it or hold it in the state",
        "program step: input 'x' is int32[2], expected float32[2]; feed that type",
        "program step: the run updates 'w', which no state holds; pass the state that does",
      ],
      errors: [{ error: [-1] }, { error: [1] }],
    },
  },
  'updates that do not fit are refused': {
    observe: (runtime) =>
      messages([
        refusal(runtime, { v: 'nextW' }),
        refusal(runtime, { w: 'none' }),
        refusal(runtime, { w: 'error' }),
        refusal(runtime, { w: 'nextW', m: 'nextW' }),
      ]),
    expected: [
      "program step: update of 'v' by 'nextW': the program has no input 'v'; declare it",
      "program step: update of 'w' by 'none': the program has no output 'none'; return it",
      "program step: update of 'w' by 'error': the output is float32[], expected float32[2] as the input; return that type",
      "program step: update of 'm' by 'nextW': 'w' takes that output already; return the value under a second name",
    ],
  },
  'there is no profile that was not asked for': {
    observe: (runtime) => withStep(runtime, (step) => messages([step.profile()])),
    expected: ['program step: it was compiled without profiling; pass { profile: true }'],
  },
  'a program serves several states, and a state several programs': {
    observe: (runtime) =>
      withStep(runtime, async (step, state) => {
        const other = await runtime.place({ w: float32([2], [10, 0]), m: zeros([2]) })
        const double = await runtime.compile(
          trace('double', { w: { shape: [2] } }, ({ w }) => ({ twice: mul(w, 2) })),
          { updates: { w: 'twice' } },
        )
        const returned = [await step.run({ x }, state), await step.run({ x }, other)].map(plain)
        await double.run({}, other)
        const states = [plain(await state.read()), plain(await other.read())]
        await double.dispose()
        await other.dispose()
        return { returned, states }
      }),
    expected: {
      returned: [{ error: [-1] }, { error: [10] }],
      states: [
        { w: [2, 1], m: [-1, 1] },
        { w: [0, 20], m: [10, -10] },
      ],
    },
  },
  'two states change places in a run, and a current value may be returned beside the next': {
    observe: async (runtime) => {
      const shape = [3]
      const swap = trace('swap', { a: { shape }, b: { shape } }, ({ a, b }) => ({
        ...{ nextA: b, nextB: a, sum: add(a, b), old: a },
      }))
      const executable = await runtime.compile(swap, { updates: { a: 'nextA', b: 'nextB' } })
      const state = await runtime.place({ a: float32(shape, [1, 2, 3]), b: float32(shape, [10, 20, 30]) })
      const returned = [await executable.run({}, state), await executable.run({}, state)].map(plain)
      const end = plain(await state.read())
      await executable.dispose()
      await state.dispose()
      return { returned, end }
    },
    expected: {
      returned: [
        { sum: [11, 22, 33], old: [1, 2, 3] },
        { sum: [11, 22, 33], old: [10, 20, 30] },
      ],
      end: { a: [1, 2, 3], b: [10, 20, 30] },
    },
  },
  'numbers, whole numbers and truth values go in and come out': {
    observe: async (runtime) => {
      const shape = [3]
      const kinds = trace(
        'kinds',
        { f: { shape }, i: { shape, dtype: 'int32' }, b: { shape, dtype: 'bool' } },
        ({ f, i, b }) => ({ half: mul(f, 0.5), int: add(i, cast(b, 'int32')), above: greater(f, 0) }),
      )
      return once(runtime, kinds, {
        f: float32(shape, [0.5, -2, 1024]),
        i: int32(shape, [7, -7, 2 ** 30]),
        b: { dtype: 'bool', shape, data: Uint8Array.of(1, 0, 1) },
      })
    },
    expected: {
      half: [0.25, -1, 512],
      int: [8, -7, 2 ** 30 + 1],
      above: [1, 0, 1],
    },
  },
  'half precision comes out by its bits, where the device has it': {
    observe: async (runtime) => {
      const shape = [3]
      const halves = trace('halves', { f: { shape } }, ({ f }) => ({ half: cast(f, 'float16') }))
      if (runtime.limits?.float16 !== false)
        return once(runtime, halves, { f: float32(shape, [0.5, -2, 1024]) })
      const [refused] = await messages([once(runtime, halves, { f: zeros(shape) })])
      return refused?.startsWith('program halves: this GPU or its driver has no half precision arithmetic')
        ? halfBits
        : refused
    },
    expected: halfBits,
  },
  'inputs that nothing reads need not be fed, and what is fed is not written to': {
    observe: async (runtime) => {
      const some = trace('some', { a: { shape: [2, 2] }, unread: { shape: [2] } }, ({ a }) => ({
        y: matmul(a, a),
      }))
      const a = float32([2, 2], [1, 2, 3, 4])
      return [await once(runtime, some, { a }), plain({ a })]
    },
    expected: [{ y: [7, 10, 15, 22] }, { a: [1, 2, 3, 4] }],
  },
  'a large state comes back as it was placed': {
    observe: async (runtime) => {
      const count = 300_000
      const big = float32(
        [count],
        Float32Array.from({ length: count }, (_, i) => i % 4093),
      )
      const state = await runtime.place({ big, small: float32([], [3]) })
      const { big: back } = await state.read(['big'])
      await state.dispose()
      return (
        back.data.length === count && Array.from(back.data as Float32Array).every((v, i) => v === i % 4093)
      )
    },
    expected: true,
  },
}
