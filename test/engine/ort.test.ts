/**
 * @file The adapter through ONNX Runtime's JavaScript API, without a GPU: it takes any ONNX Runtime, here onnxruntime-node with its CPU provider, whose
 * sessions and tensors are counted and made to fail.
 */
import * as ort from 'onnxruntime-node'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { float32, type HostTensor, int32 } from '../../src/engine/host/tensor.ts'
import { scope } from '../../src/engine/ir/graph.ts'
import { type Program, trace } from '../../src/engine/ir/program.ts'
import { serialize } from '../../src/engine/onnx/serialize.ts'
import { add, exp, mul, reduceSum, tanh } from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { OrtExecutable } from '../../src/engine/runtime/ort/executable.ts'
import type {
  OrtDevice,
  OrtLibrary,
  OrtSessionOptions,
  OrtTensor,
} from '../../src/engine/runtime/ort/library.ts'
import { type Enqueue, serialQueue } from '../../src/engine/runtime/ort/queue.ts'
import { type OrtState, placeTensors } from '../../src/engine/runtime/ort/state.ts'
import { normal } from '../method/support.ts'

/** A library whose sessions are counted, and which fails when told to. */
class Watched implements OrtLibrary {
  readonly Tensor = ort.Tensor
  readonly started: OrtSessionOptions[] = []
  released = 0
  /** How many values each run gave. */
  readonly fetched: number[] = []
  /** Thrown by the next run; by the start after so many. */
  failRun: Error | null = null
  startsLeft = Number.POSITIVE_INFINITY

  readonly InferenceSession: OrtLibrary['InferenceSession'] = {
    create: async (model, options) => {
      if (this.startsLeft-- <= 0) throw new Error('/src/provider.cc:1 Start() ok was false. No adapter.\n')
      const session = await ort.InferenceSession.create(model, options)
      this.started.push(options)
      return {
        run: async (feeds, fetches) => {
          const failure = this.failRun
          this.failRun = null
          if (failure !== null) throw failure
          this.fetched.push(fetches.length)
          return session.run(feeds as Record<string, ort.Tensor>, fetches)
        },
        endProfiling: () => session.endProfiling(),
        release: async () => {
          this.released++
          await session.release()
        },
      }
    },
  }
}

const watched = (): { readonly library: Watched; readonly on: OrtDevice; readonly enqueue: Enqueue } => {
  const library = new Watched()
  const on: OrtDevice = {
    ...{
      ort: library,
      device: 'webgpu',
      providers: ['cpu'],
      location: 'cpu',
      limits: null,
      startProfiling: null,
      advice: 'buy one',
    },
  }
  return { library, on, enqueue: serialQueue() }
}

const program = trace(
  'step',
  { w: { shape: [3, 3] }, m: { shape: [3, 3] }, x: { shape: [3, 3] } },
  ({ w, m, x }) => {
    const loss = reduceSum(scope('encoder', () => tanh(matmul(w, x))))
    const next = add(mul(m, 0.9), mul(x, loss))
    return { loss, nextM: next, nextW: add(matmul(w, w), mul(next, -0.1)) }
  },
)
const updates = { w: 'nextW', m: 'nextM' }
const initial = { w: normal('w', [3, 3], 0.3), m: normal('m', [3, 3]) }
const feeds = (i: number): Record<string, HostTensor> => ({ x: normal(`x${i}`, [3, 3]) })

const compile = (
  { on, enqueue }: Pick<ReturnType<typeof watched>, 'on' | 'enqueue'>,
  what: Program = program,
  replaced: Readonly<Record<string, string>> = updates,
): Promise<OrtExecutable> =>
  OrtExecutable.compile(on, what, serialize(what), { updates: replaced, profiling: null, enqueue })

const isFreed = (tensor: OrtTensor): boolean => {
  try {
    return tensor.data === undefined
  } catch {
    return true
  }
}

const heldBy = (state: OrtState): OrtTensor[] => state.names.map((name) => state.tensor(name)!)

describe('an executable on an injected library', () => {
  it('takes the steps that the CPU runtime takes', async () => {
    const cpu = new NodeRuntime({ threads: 1, target: 'any' })
    const [reference, referenceState] = [await cpu.compile(program, { updates }), await cpu.place(initial)]
    const on = watched()
    const [executable, state] = [await compile(on), await placeTensors(on.on, initial, on.enqueue)]
    for (let i = 0; i < 4; i++) {
      expect(await executable.run(feeds(i), state)).toEqual(await reference.run(feeds(i), referenceState))
    }
    expect(await state.read()).toEqual(await referenceState.read())
    expect(executable.traffic).toEqual({ toDevice: 4 * 36, toHost: 4 * 4 })
  })

  it('asks that updates stay on the device and all else comes back', async () => {
    const { library, on, enqueue } = watched()
    const executable = await compile({ on, enqueue })
    expect(library.started.at(-1)).toMatchObject({
      executionProviders: ['cpu'],
      preferredOutputLocation: { loss: 'cpu', nextM: 'cpu', nextW: 'cpu' },
    })
    await executable.dispose()
    const create = vi.fn<OrtLibrary['InferenceSession']['create']>(() => Promise.reject(new Error('seen')))
    const gpu: OrtDevice = {
      ...on,
      ort: { ...library, InferenceSession: { create } },
      location: 'gpu-buffer',
    }
    await expect(compile({ on: gpu, enqueue })).rejects.toThrow('seen')
    expect(create.mock.calls[0][1].preferredOutputLocation).toEqual({
      ...{ loss: 'cpu', nextM: 'gpu-buffer', nextW: 'gpu-buffer' },
    })
  })

  it('frees every value that a run replaces, and no other', async () => {
    const { on, enqueue } = watched()
    const [executable, state] = [await compile({ on, enqueue }), await placeTensors(on, initial, enqueue)]
    for (let i = 0; i < 3; i++) {
      const before = heldBy(state)
      await executable.run(feeds(i), state)
      expect(before.map(isFreed)).toEqual([true, true])
      expect(heldBy(state).map(isFreed)).toEqual([false, false])
    }
  })

  it('commits nothing of a failed run, names the op and its place, and runs again', async () => {
    const { library, on, enqueue } = watched()
    const [executable, state] = [await compile({ on, enqueue }), await placeTensors(on, initial, enqueue)]
    const before = heldBy(state)
    library.failRun = new Error(
      "Non-zero status code returned. Name:'encoder/matmul/MatMul' Status: out of memory",
    )
    const failed = executable.run(feeds(0), state)
    const next = executable.run(feeds(0), state)
    await expect(failed).rejects.toThrow(
      /^program step: matmul at encoder failed on inputs float32\[3,3\], float32\[3,3\]: Non-zero/,
    )
    const fresh = await placeTensors(on, initial, enqueue)
    expect(await next).toEqual(await executable.run(feeds(0), fresh))
    expect(await state.read()).toEqual(await fresh.read())
    expect(before.map(isFreed)).toEqual([true, true])
  })

  it('that meets a tensor of more than the device takes says so in one sentence', async () => {
    const { library, on, enqueue } = watched()
    const [executable, state] = [await compile({ on, enqueue }), await placeTensors(on, initial, enqueue)]
    library.failRun = new Error(
      'WebGPU validation failed. Buffer size (1207959552) exceeds the max buffer size limit (1073741824).\n - While calling [Device].CreateBuffer([BufferDescriptor]).',
    )
    await expect(executable.run(feeds(0), state)).rejects.toThrow(
      /^program step: a tensor takes 1152 MiB, but this device takes 1024 MiB at most; use smaller batches [^\n]*$/,
    )
  })

  it('refuses what is missing or of another type, and a state that lacks what it updates', async () => {
    const { on, enqueue } = watched()
    const [executable, state] = [await compile({ on, enqueue }), await placeTensors(on, initial, enqueue)]
    const before = await state.read()
    await expect(executable.run({}, state)).rejects.toThrow(
      "program step: input 'x' is missing; feed it or hold it in the state",
    )
    await expect(executable.run({ x: int32([3], [1, 2, 3]) }, state)).rejects.toThrow(
      "program step: input 'x' is int32[3], expected float32[3,3]; feed that type",
    )
    const message = "program step: the run updates 'w', which no state holds; pass the state that does"
    await expect(executable.run({ ...initial, ...feeds(0) })).rejects.toThrow(message)
    const other = await placeTensors(on, { m: initial.m }, enqueue)
    await expect(executable.run({ w: initial.w, ...feeds(0) }, other)).rejects.toThrow(message)
    const onCpu = await new NodeRuntime({ threads: 1 }).compile(program, { updates })
    await expect(onCpu.run({ ...initial, ...feeds(0) })).rejects.toThrow(message)
    expect(await state.read()).toEqual(before)
  })

  it('has no profile that was not asked for', async () => {
    const executable = await compile(watched())
    await expect(executable.profile()).rejects.toThrow('program step: it was compiled without profiling')
  })
})

describe('state on an injected library', () => {
  it('brings over what is asked for and nothing else', async () => {
    const { library, on, enqueue } = watched()
    const state = await placeTensors(on, initial, enqueue)
    library.fetched.length = 0
    await state.read(['m'])
    expect(await state.read([])).toEqual({})
    await state.read()
    expect(library.fetched).toEqual([1, 2])
  })

  it('reads what was written, in whole and in part', async () => {
    const { on, enqueue } = watched()
    const state = await placeTensors(on, initial, enqueue)
    expect(state.names).toEqual(['w', 'm'])
    expect(await state.read()).toEqual(initial)
    const [first] = heldBy(state)
    const w = normal('other', [3, 3])
    await state.write({ w })
    expect(isFreed(first)).toBe(true)
    expect(await state.read(['w'])).toEqual({ w })
    expect(await state.read()).toEqual({ w, m: initial.m })
  })

  it('keeps what a run wrote between the call of a partial write and its turn', async () => {
    const { on, enqueue } = watched()
    const [executable, state] = [await compile({ on, enqueue }), await placeTensors(on, initial, enqueue)]
    const fresh = await placeTensors(on, initial, enqueue)
    const w = normal('other', [3, 3])
    await Promise.all([state.write({ w }), executable.run(feeds(0), state)])
    await fresh.write({ w })
    await executable.run(feeds(0), fresh)
    expect(await state.read()).toEqual(await fresh.read())
  })

  it('refuses unknown names and other types, and stays as it was', async () => {
    const { on, enqueue } = watched()
    const state = await placeTensors(on, initial, enqueue)
    await expect(state.read(['v'])).rejects.toThrow("state: no tensor is called 'v'; it holds w, m")
    await expect(state.write({ v: initial.w })).rejects.toThrow(
      "state: no tensor is called 'v'; it holds w, m",
    )
    await expect(state.write({ w: float32([9], new Float32Array(9)) })).rejects.toThrow(
      "state: input 'w' is float32[9], expected float32[3,3]; feed that type",
    )
    await expect(state.write({ w: int32([3, 3], new Int32Array(9)) })).rejects.toThrow(
      "state: input 'w' is int32[3,3], expected float32[3,3]; feed that type",
    )
    expect(await state.read()).toEqual(initial)
  })

  it('frees its tensors and both sessions after the runs that were asked before', async () => {
    const { library, on, enqueue } = watched()
    const [executable, state] = [await compile({ on, enqueue }), await placeTensors(on, initial, enqueue)]
    const run = executable.run(feeds(0), state)
    const [disposed, gone] = [state.dispose(), executable.dispose()]
    expect(Object.keys(await run)).toEqual(['loss'])
    await Promise.all([disposed, gone])
    expect(heldBy(state)).toEqual([undefined, undefined])
    expect([library.started.length, library.released]).toEqual([3, 3])
  })
})

describe('a device that does not start', () => {
  it('is refused in one sentence that ends with its advice, and leaves no session behind', async () => {
    for (const starts of [0, 1]) {
      const { library, on, enqueue } = watched()
      library.startsLeft = starts
      const message = 'device webgpu: ONNX Runtime could not start it (No adapter.); buy one'
      await expect(placeTensors(on, initial, enqueue)).rejects.toThrow(message)
      expect([library.started.length, library.released]).toEqual([starts, starts])
      await expect(compile({ on, enqueue })).rejects.toThrow(message)
    }
    const { library, on, enqueue } = watched()
    library.failRun = new Error('out of memory')
    await expect(placeTensors(on, initial, enqueue)).rejects.toThrow('out of memory')
    expect([library.started.length, library.released]).toEqual([2, 2])
  })
})

describe.each(['as it is', 'in a browser, which has no setImmediate'])('the queue, %s', (where) => {
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('runs jobs in order, one at a time, past failures, and lets timers through', async () => {
    if (where !== 'as it is') vi.stubGlobal('setImmediate', undefined)
    const enqueue = serialQueue()
    const log: string[] = []
    const job = (name: string) => async (): Promise<string> => {
      log.push(`${name} starts`)
      await new Promise((resolve) => setTimeout(resolve, 2))
      log.push(`${name} ends`)
      if (name === 'b') throw new Error('b fails')
      return name
    }
    const results = await Promise.allSettled(['a', 'b', 'c'].map((name) => enqueue(job(name))))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(log).toEqual(['a starts', 'a ends', 'b starts', 'b ends', 'c starts', 'c ends'])
    // Jobs that never wait still leave the event loop its turns.
    let fired = false
    setTimeout(() => {
      fired = true
    }, 1)
    for (let i = 0; i < 1e5 && !fired; i++) await enqueue(async () => undefined)
    expect(fired).toBe(true)
  })
})

it('exp and its like are served by the same sessions without any update', async () => {
  const plain = trace('plain', { x: { shape: [2] } }, ({ x }) => ({ y: exp(x) }))
  const executable = await compile(watched(), plain, {})
  const { y } = await executable.run({ x: float32([2], [0, 1]) })
  expect([...y.data]).toEqual([1, Math.fround(Math.E)])
})
