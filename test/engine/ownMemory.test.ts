/**
 * @file State in memory of the runtime's own, as on CUDA, here on the CPU: training gives the bits that it gives in host
 * memory, exactly feeds and outputs cross, failures leave what there was, and all is released.
 */
import { describe, expect, it } from 'vitest'
import { applySettings, presetByName } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import { modelConfig } from '../../src/config/schema.ts'
import { examplesOf, float32, type HostTensor, int32 } from '../../src/engine/host/tensor.ts'
import { type Program, trace } from '../../src/engine/ir/program.ts'
import { initialParams } from '../../src/engine/nn/params.ts'
import { serialize } from '../../src/engine/onnx/serialize.ts'
import { add, mul, reduceSum } from '../../src/engine/ops/core.ts'
import { gather } from '../../src/engine/ops/gather.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { deviceMemory } from '../../src/engine/runtime/node/deviceMemory.ts'
import { cpuDevice, cudaDevice, programProvider } from '../../src/engine/runtime/node/devices.ts'
import { NativeExecutable } from '../../src/engine/runtime/node/executable.ts'
import { CapturedRuns } from '../../src/engine/runtime/node/graphs.ts'
import { hostMemory } from '../../src/engine/runtime/node/hostMemory.ts'
import type { Held, Memory } from '../../src/engine/runtime/node/memory.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { NativeState } from '../../src/engine/runtime/node/state.ts'
import { serialQueue } from '../../src/engine/runtime/ort/queue.ts'
import type { Executable, Runtime, Traffic } from '../../src/engine/runtime/runtime.ts'
import { autoencoderFeeds, autoencoderObjective } from '../../src/method/autoencoder.ts'
import { adamW } from '../../src/train/adamw.ts'
import { trainLoop } from '../../src/train/loop.ts'
import { initialState } from '../../src/train/state.ts'
import { compileStep, placeState, traceStep } from '../../src/train/trainStep.ts'
import { normal } from '../method/support.ts'

type Tensors = Readonly<Record<string, HostTensor>>

const bytesIn = (tensors: Tensors): number =>
  Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0)

/** A runtime that also counts what programs read of their feeds, and return. */
const watch = (runtime: Runtime): { readonly runtime: Runtime; readonly traffic: Traffic } => {
  const traffic = { toDevice: 0, toHost: 0 }
  const compile: Runtime['compile'] = async (program, options): Promise<Executable> => {
    const executable = await runtime.compile(program, options)
    const { unused } = serialize(program)
    return {
      get traffic() {
        return executable.traffic
      },
      profile: () => executable.profile(),
      dispose: () => executable.dispose(),
      run: async (feeds, state) => {
        const outputs = await executable.run(feeds, state)
        const read = Object.entries(feeds).filter(([name]) => name in program.inputs && !unused.has(name))
        traffic.toDevice += bytesIn(Object.fromEntries(read))
        traffic.toHost += bytesIn(outputs)
        return outputs
      },
    }
  }
  const { device, limits } = runtime
  return { traffic, runtime: { device, limits, compile, place: (tensors) => runtime.place(tensors) } }
}

describe('a training run', () => {
  const [steps, batch] = [3, 2]
  const settings = ['data.size=16', 'encoder.channels=[8, 16]', 'prior.width=32']
  const model = modelConfig(applySettings(smokeForm(presetByName('study')), settings), 0)
  const objective = autoencoderObjective(model, batch)
  const images = normal('images', [batch, 3, model.size, model.size])
  const optimizer = adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 })

  /** Steps of stage 1 in so many parts: their reports, the state at the end, and what crossed. */
  const trainOn = async (on: Runtime, parts: number) => {
    const { runtime, traffic } = watch(on)
    const own = parts === 1 ? objective : autoencoderObjective(model, batch / parts)
    const traced = traceStep(own, { optimizer, clipNorm: 1 }, parts)
    const state = await placeState(runtime, traced, initialState(traced.layout, initialParams(own.spec, 1)))
    const trainStep = await compileStep(runtime, traced)
    const reports: unknown[] = []
    await trainLoop({
      ...{ trainStep, state, batch, from: 0, steps, emaDecay: 0.9 },
      rate: { lr: 1e-3, warmupSteps: 1, finalFraction: 1 },
      feeds: async (step, part) =>
        autoencoderFeeds(
          model,
          examplesOf(images, part.first, part.count),
          { seed: 0, purpose: 'training', step, part },
          1,
        ),
      onStep: async ({ loss, gradNorm, outputs }) => {
        reports.push({ loss, gradNorm, outputs })
      },
      shouldStop: () => false,
    })
    const end = await state.read()
    const crossed = trainStep.executables.reduce(
      (sum, { traffic: { toDevice, toHost } }) => ({
        toDevice: sum.toDevice + toDevice,
        toHost: sum.toHost + toHost,
      }),
      { toDevice: 0, toHost: 0 },
    )
    await trainStep.dispose()
    await state.dispose()
    return { reports, end, crossed, traffic }
  }

  it.each([
    [1, false],
    [2, false],
    [1, true],
  ])('in %i parts, captured: %s, ends with the bits of one in host memory', async (parts, graph) => {
    const host = await trainOn(new NodeRuntime({ threads: 1 }), parts)
    const own = await trainOn(new NodeRuntime({ threads: 1, ownMemory: true, cuda: { graph } }), parts)
    expect(own.reports).toHaveLength(steps)
    expect(own.reports).toEqual(host.reports)
    expect(own.end).toEqual(host.end)
    expect(host.crossed).toEqual({ toDevice: 0, toHost: 0 })
    expect(own.crossed).toEqual(own.traffic)
    // A state has thousands of numbers, and losses are a handful.
    expect(own.crossed.toHost).toBeLessThan(steps * parts * 100)
  })
})

/** Two states, of which only `w` can be updated in place; an index beyond the rows makes the run fail. */
const program: Program = trace(
  'step',
  { w: { shape: [3, 3] }, m: { shape: [3, 3] }, x: { shape: [3, 3] }, rows: { shape: [2], dtype: 'int32' } },
  ({ w, m, x, rows }) => {
    const loss = reduceSum(gather(mul(x, 2), rows))
    return { loss, twice: mul(x, 2), nextW: add(w, loss), nextM: matmul(m, x) }
  },
)
const updates = { w: 'nextW', m: 'nextM' }
const initial = (): Record<string, HostTensor> => ({ w: normal('w', [3, 3]), m: normal('m', [3, 3]) })
const feeds = (i: number): Record<string, HostTensor> => ({
  x: normal(`x${i}`, [3, 3]),
  rows: int32([2], [0, 2]),
})
const failing = { ...feeds(0), rows: int32([2], [0, 9]) }

const own = new NodeRuntime({ threads: 1, ownMemory: true })

/** Users of a memory, and tensors of states that are not released. */
interface Counted {
  readonly memory: Memory
  users: number
  tensors: number
}

/** @param room for how many tensors there is */
const counted = (room = Number.POSITIVE_INFINITY): Counted => {
  const under = deviceMemory(cpuDevice())
  const count: Counted = {
    ...{ users: 0, tensors: 0 },
    memory: {
      hold: () => {
        under.hold()
        count.users++
      },
      drop: () => {
        under.drop()
        count.users--
      },
      place: (tensor) => {
        if (count.tensors >= room)
          throw new Error('Failed to allocate memory for requested buffer of size 2097152')
        const held = under.place(tensor)
        count.tensors++
        return {
          ...held,
          release: () => {
            held.release()
            count.tensors--
          },
        }
      },
      exchange: (returned) => under.exchange(returned),
    },
  }
  return count
}

const settingsOn = (memory: Memory, profile = false) => ({
  ...{ memory, updates, profile, threads: 1, cuda: null, graph: false, enqueue: serialQueue() },
})

describe('a run', () => {
  it('brings over exactly what is fed, and back exactly what is no update', async () => {
    const [executable, state] = [await own.compile(program, { updates }), await own.place(initial())]
    const seen: Traffic[] = []
    for (let i = 1; i <= 3; i++) {
      // What the program does not read stays where it is.
      const outputs = await executable.run({ ...feeds(i), other: normal('other', [5]) }, state)
      expect(Object.keys(outputs)).toEqual(['loss', 'twice'])
      expect(executable.traffic).toEqual({ toDevice: i * bytesIn(feeds(i)), toHost: i * bytesIn(outputs) })
      seen.push(executable.traffic)
    }
    await state.read()
    expect(executable.traffic).toEqual(seen.at(-1))
    await executable.dispose()
    await state.dispose()
  })

  it('takes an input from the feeds at one time and from the state at another', async () => {
    const [executable, host] = [await own.compile(program), await new NodeRuntime().compile(program)]
    const state = await own.place(initial())
    const whole = { ...initial(), ...feeds(0) }
    for (const fed of [feeds(0), whole, feeds(0), whole])
      expect(await executable.run(fed, state)).toEqual(await host.run(whole))
  })

  it('that fails says so in one sentence, and leaves state and later runs as they were', async () => {
    for (const graph of [false, true]) {
      const runtime = new NodeRuntime({ threads: 1, ownMemory: true, cuda: { graph } })
      const [executable, state] = [
        await runtime.compile(program, { updates }),
        await runtime.place(initial()),
      ]
      const failed = executable.run(failing, state)
      const next = executable.run(feeds(1), state)
      await expect(failed).rejects.toThrow(/^program step: gather failed on inputs [^\n]*\[3,3\][^\n]*$/)
      const fresh = await runtime.place(initial())
      expect(await next).toEqual(await executable.run(feeds(1), fresh))
      expect(await state.read()).toEqual(await fresh.read())
      await expect(executable.run({}, state)).rejects.toThrow("program step: input 'x' is missing")
      expect(await state.read()).toEqual(await fresh.read())
    }
  })
})

describe('state', () => {
  it('is read and written in whole and in part, after the runs that were asked before', async () => {
    const [executable, state] = [await own.compile(program, { updates }), await own.place(initial())]
    expect(await state.read()).toEqual(initial())
    const [, after] = await Promise.all([executable.run(feeds(0), state), state.read()])
    expect(after).not.toEqual(initial())
    const w = normal('other', [3, 3])
    await state.write({ w })
    expect(await state.read()).toEqual({ ...after, w })
    await expect(state.write({ m: w, w: float32([9], new Float32Array(9)) })).rejects.toThrow(
      "state: input 'w' is float32[9], expected float32[3,3]; feed that type",
    )
    await expect(state.read(['v'])).rejects.toThrow("state: no tensor is called 'v'; it holds w, m")
    expect(await state.read()).toEqual({ ...after, w })
  })

  it('of more than is copied at a time comes back as it went', async () => {
    const big = float32(
      [20e6],
      Float32Array.from({ length: 20e6 }, (_, i) => i),
    )
    const state = await own.place({ big })
    const read = await state.read()
    expect(Buffer.compare(Buffer.from(read.big.data.buffer), Buffer.from(big.data.buffer))).toBe(0)
    await state.dispose()
  })
})

describe('captured runs', () => {
  it('are one for each set of tensors, computed again after the capture, with what is overwritten put back', () => {
    const seen: unknown[] = []
    const captured = new CapturedRuns({ run: (_inputs, _outputs, options) => seen.push(options?.handle) })
    const written: HostTensor[] = []
    const [a, b] = [hostMemory.place(normal('a', [2])), hostMemory.place(normal('b', [2]))]
    const watched: Held = { ...a, write: (tensor) => written.push(tensor) }
    for (const [from, to] of [
      [a, b],
      [b, a],
      [a, b],
      [b, a],
    ])
      captured.run(new Map([['x', from.native]]), new Map([['y', to.native]]), [watched])
    const [first, , second] = seen
    expect(first).not.toEqual(second)
    // Once to capture, once from the capture, and from then on once.
    expect(seen).toEqual([first, first, second, second, first, second])
    expect(written).toEqual([normal('a', [2]), normal('a', [2])])
    captured.release()
    a.release()
    b.release()
  })
})

describe('release', () => {
  it('gives back every tensor and the memory itself, whichever way it ends', async () => {
    const count = counted()
    const { memory } = count
    const state = new NativeState(memory, initial(), serialQueue())
    const executable = new NativeExecutable(program, serialize(program), settingsOn(memory, true))
    await executable.run(feeds(0), state)
    await expect(executable.run(failing, state)).rejects.toThrow()
    expect([count.users, count.tensors]).toEqual([2, 2])
    const model = { ...serialize(program), bytes: Uint8Array.of(1, 2, 3) }
    expect(() => new NativeExecutable(program, model, settingsOn(memory, true))).toThrow(
      /^program step: ONNX Runtime failed: [^\n]*$/,
    )
    expect(count.users).toBe(2)
    for (let i = 0; i < 2; i++) await Promise.all([state.dispose(), executable.dispose()])
    expect([count.users, count.tensors]).toEqual([0, 0])
    const small = counted(1)
    expect(() => new NativeState(small.memory, initial(), serialQueue())).toThrow(
      /^state: there is no memory for another 2 MiB; /,
    )
    expect([small.users, small.tensors]).toEqual([0, 0])
  })

  it('keeps resident memory where it was', async () => {
    const shape = [1 << 20]
    const moving = trace('moving', { w: { shape }, x: { shape } }, ({ w, x }) => ({
      next: add(w, x),
      y: mul(x, 2),
    }))
    const round = async (): Promise<void> => {
      const executable = await own.compile(moving, { updates: { w: 'next' } })
      const state = await own.place({ w: float32(shape, new Float32Array(shape[0])) })
      await executable.run({ x: float32(shape, new Float32Array(shape[0])) }, state)
      await executable.dispose()
      await state.dispose()
    }
    for (let i = 0; i < 10; i++) await round()
    const before = process.memoryUsage.rss()
    for (let i = 0; i < 40; i++) await round()
    // State, feed and output of 4 MiB each would add up to 480.
    expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(160)
  })
})

describe('a device that does not start', () => {
  it('is refused in one sentence that ends with its advice, by state and programs, and tried again', () => {
    const memory = deviceMemory({ ...cpuDevice(), provider: { no_such_option: '1' } })
    const message = /^device cpu: ONNX Runtime could not start it \([^\n]*\); reinstall onnxruntime-node$/
    for (let i = 0; i < 2; i++) {
      expect(() => new NativeState(memory, initial(), serialQueue())).toThrow(message)
      expect(() => new NativeExecutable(program, serialize(program), settingsOn(memory))).toThrow(message)
    }
  })

  it('is told what was chosen, and captures runs of programs alone', () => {
    const device = cudaDevice(false, { card: 1, memoryLimit: 2 ** 30, graph: true })
    expect(device).toMatchObject({ memory: 'Cuda', number: 1 })
    expect(device.provider).toEqual({
      ...{ device_id: '1', gpu_mem_limit: '1073741824', use_tf32: '0' },
      ...{ arena_extend_strategy: 'kSameAsRequested', cudnn_conv_algo_search: 'HEURISTIC' },
    })
    expect(programProvider(device)).toEqual({ ...device.provider, enable_cuda_graph: '1' })
    expect(programProvider(cpuDevice())).toBeNull()
  })
})
