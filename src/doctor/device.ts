/** @file A device at work: a product and a small training step timed, and which kernels do not run there. */
import { presetByName } from '../config/load.ts'
import { smokeForm } from '../config/presets.ts'
import { float32 } from '../engine/host/tensor.ts'
import { trace } from '../engine/ir/program.ts'
import { matmul } from '../engine/ops/matmul.ts'
import { slice } from '../engine/ops/slice.ts'
import { NodeRuntime } from '../engine/runtime/node/runtime.ts'
import type { Device, DeviceLimits, Runtime } from '../engine/runtime/runtime.ts'
import { stages } from '../stages/list.ts'
import { singleStep } from '../stages/singleStep.ts'

/** What a device does. */
export interface DeviceReport {
  /** Of a float32 product of two matrices of 1024×1024, median of five. */
  readonly productGflopsPerSecond: number
  /** Of a stage-1 step of the preset `study` in smoke form, median of five. */
  readonly stepMilliseconds: number
  readonly stepGflopsPerSecond: number
  /** Kernels of that step, and of them those that another provider ran, by operator. */
  readonly kernels: number
  readonly elsewhere: Readonly<Record<string, number>>
  readonly limits: DeviceLimits | null
}

const [warmUps, rounds] = [2, 5]

/** Median time in milliseconds. */
const timed = async (run: (i: number) => Promise<unknown>): Promise<number> => {
  const times: number[] = []
  for (let i = 0; i < warmUps + rounds; i++) {
    const start = performance.now()
    await run(i)
    times.push(performance.now() - start)
  }
  return times.slice(warmUps).sort((a, b) => a - b)[Math.floor(rounds / 2)]
}

const side = 1024

/** The rate of products whose factors stay on the device; one number comes back, so that each is waited for. */
const productRate = async (runtime: Runtime): Promise<number> => {
  const shape = [side, side]
  const program = trace('product', { a: { shape }, x: { shape } }, ({ a, x }) => {
    const y = matmul(a, x)
    return { y, corner: slice(slice(y, 0, 0, 1), 1, 0, 1) }
  })
  const executable = await runtime.compile(program, { updates: { x: 'y' } })
  // Rows that sum to 1 leave equal numbers as they are.
  const state = await runtime.place({
    a: float32(shape, new Float32Array(side * side).fill(1 / side)),
    x: float32(shape, new Float32Array(side * side).fill(0.5)),
  })
  const milliseconds = await timed(() => executable.run({}, state))
  await state.dispose()
  await executable.dispose()
  return (2 * side ** 3) / milliseconds / 1e6
}

/** Providers by the names that profiles give them. */
const ownProvider: Readonly<Record<Device, RegExp>> = {
  cpu: /^CPU/,
  webgpu: /^WebGpu|^Js/,
  cuda: /^CUDA/,
}

/** @throws one sentence when the device does not start, or fails */
export const probeDevice = async (device: Device): Promise<DeviceReport> => {
  const runtime = new NodeRuntime({ device })
  const productGflopsPerSecond = await productRate(runtime)
  const [config, stage] = [smokeForm(presetByName('study')), stages[0]]
  const step = await singleStep(runtime, config, stage, 9)
  const stepMilliseconds = await timed((i) => step.run(i))
  await step.dispose()
  const profiled = await singleStep(runtime, config, stage, 9, { profile: true })
  await profiled.run(0)
  const kernels = (await Promise.all(profiled.executables.map((executable) => executable.profile()))).flat()
  await profiled.dispose()
  const elsewhere: Record<string, number> = {}
  for (const { operator, provider } of kernels)
    if (!ownProvider[device].test(provider)) elsewhere[operator] = (elsewhere[operator] ?? 0) + 1
  return {
    productGflopsPerSecond,
    stepMilliseconds,
    stepGflopsPerSecond: step.gflops / (stepMilliseconds / 1000),
    kernels: kernels.length,
    elsewhere,
    limits: runtime.limits,
  }
}
