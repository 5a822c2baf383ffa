/** @file A GPU that a page loses, without a browser (test/browser loses one in Chromium): a planted library on planted devices. */
import { describe, expect, it } from 'vitest'
import { float32 } from '../../src/engine/host/tensor.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { add } from '../../src/engine/ops/core.ts'
import { DeviceLostError } from '../../src/engine/runtime/deviceError.ts'
import { explainDeviceError } from '../../src/engine/runtime/ort/errors.ts'
import type { OrtDevice, OrtLibrary, OrtSession, OrtTensor } from '../../src/engine/runtime/ort/library.ts'
import { OrtRuntime } from '../../src/engine/runtime/ort/runtime.ts'
import { losable } from '../../src/engine/runtime/web/loss.ts'

class PlantedTensor implements OrtTensor {
  readonly type: string
  readonly data: unknown
  readonly dims: number[]

  constructor(type: string, data: unknown, dims: number[]) {
    this.type = type
    this.data = data
    this.dims = dims
  }

  dispose(): void {}
}

/** A device, and what a browser does when it is lost. */
const deviceOf = () => {
  let lose: (message: string) => void = () => undefined
  const lost = new Promise<{ readonly message: string }>((resolve) => {
    lose = (message) => resolve({ message })
  })
  return { lost, lose: (message: string) => lose(message) }
}

/** A library whose runs double their input, or never end, on a device that may be another for each session. */
const planted = () => {
  const at = { device: deviceOf(), hangs: false, released: 0 }
  const session = (): OrtSession => ({
    run: (feeds, [fetch]) =>
      at.hangs
        ? new Promise(() => undefined)
        : Promise.resolve({
            [fetch]: new PlantedTensor('float32', Float32Array.of(2 * Number(dataOf(feeds)[0])), [1]),
          }),
    endProfiling: () => undefined,
    release: async () => void at.released++,
  })
  const dataOf = (feeds: Readonly<Record<string, OrtTensor>>) =>
    (Object.values(feeds)[0] as PlantedTensor).data as Float32Array
  const ort: OrtLibrary = {
    InferenceSession: { create: async () => session() },
    Tensor: PlantedTensor,
  }
  const on: OrtDevice = {
    ...{ ort: losable(ort, () => at.device), device: 'webgpu', providers: ['webgpu'], location: 'cpu' },
    ...{ limits: null, startProfiling: null, advice: '' },
  }
  return { at, runtime: new OrtRuntime(on, 'any') }
}

const double = trace('double', { x: { shape: [1] } }, ({ x }) => ({ y: add(x, x) }))
const feeds = { x: float32([1], Float32Array.of(3)) }
const sentence =
  "device webgpu: the GPU was lost (the driver was reset); what was on it is gone; reload the page, or take 'wasm', or 'auto', which falls back to it"
/** What is lost is known a moment later. */
const moment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))

it('a library that throws no error when it does not start is quoted all the same', () => {
  const on = { device: 'webgpu', advice: 'take another' } as const
  expect(explainDeviceError(on, 11_250_312).message).toBe(
    'device webgpu: ONNX Runtime could not start it (it says no more than 11250312); take another',
  )
})

describe('a GPU that is lost', () => {
  it('ends what runs, and all that is asked for later, with one sentence', async () => {
    const { at, runtime } = planted()
    const executable = await runtime.compile(double)
    expect((await executable.run(feeds)).y.data).toEqual(Float32Array.of(6))
    at.hangs = true
    const running = executable.run(feeds)
    await moment()
    at.device.lose('the driver was reset. ')
    await expect(running).rejects.toThrow(sentence)
    at.hangs = false
    const asked = [() => executable.run(feeds), () => runtime.compile(double), () => runtime.place(feeds)]
    for (const ask of asked) {
      await expect(ask()).rejects.toThrow(DeviceLostError)
      await expect(ask()).rejects.toThrow(sentence)
    }
    await executable.dispose()
    expect(at.released).toBe(0)
  })

  it('is none where the library gave it up, as nothing was on it', async () => {
    const { at, runtime } = planted()
    const first = await runtime.compile(double)
    await first.dispose()
    at.device.lose('Device was destroyed.')
    await moment()
    at.device = deviceOf()
    const second = await runtime.compile(double)
    expect((await second.run(feeds)).y.data).toEqual(Float32Array.of(6))
    expect(at.released).toBe(1)
  })

  it('is none where another has taken its place', async () => {
    const { at, runtime } = planted()
    const before = at.device
    await (await runtime.compile(double)).dispose()
    at.device = deviceOf()
    const executable = await runtime.compile(double)
    before.lose('Device was destroyed.')
    await moment()
    expect((await executable.run(feeds)).y.data).toEqual(Float32Array.of(6))
  })
})
