/** @file What a program's tensors are compared with, on planted devices: none of them is asked. */
import * as ort from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { float32 } from '../../src/engine/host/tensor.ts'
import { largestValue } from '../../src/engine/ir/cost.ts'
import { scope } from '../../src/engine/ir/graph.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { serialize } from '../../src/engine/onnx/serialize.ts'
import { reduceSum } from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { expectFits, tooLarge } from '../../src/engine/runtime/limits.ts'
import type { VulkanDevice } from '../../src/engine/runtime/node/vulkan.ts'
import { limitsOf } from '../../src/engine/runtime/node/webGpuLimits.ts'
import { OrtExecutable } from '../../src/engine/runtime/ort/executable.ts'
import type { OrtDevice } from '../../src/engine/runtime/ort/library.ts'
import { serialQueue } from '../../src/engine/runtime/ort/queue.ts'
import { placeTensors } from '../../src/engine/runtime/ort/state.ts'
import type { DeviceLimits } from '../../src/engine/runtime/runtime.ts'

const column = { shape: [1024, 1] }
/** An outer product of 4 MiB from two vectors of 4 KiB; one number comes out. */
const outer = trace('outer', { a: column, b: { shape: [1, 1024] } }, ({ a, b }) => ({
  total: reduceSum(scope('decoder/up', () => matmul(a, b))),
}))
const limits: DeviceLimits = { adapter: 'Card', tensorBytes: 2 ** 22, isSoftware: false, float16: false }
const smaller = { ...limits, tensorBytes: 2 ** 22 - 1 }

describe('the largest tensor of a program', () => {
  it('may be one that the program makes and does not return, or an input', () => {
    expect(largestValue(outer)).toMatchObject({ shape: [1024, 1024], node: { scope: 'decoder/up' } })
    const small = trace('small', { a: column }, ({ a }) => ({ total: reduceSum(a) }))
    expect(largestValue(small)).toBe(small.inputs.a)
    expect(tooLarge([small, outer], smaller)).toBe(largestValue(outer))
    expect(tooLarge([small, outer], limits)).toBeNull()
    expect(largestValue({ name: 'none', inputs: {}, outputs: {} })).toBeNull()
  })

  it('fits at the limit and is refused a byte above it, by name, with what the device takes and what to do', () => {
    expect(() => expectFits(outer, limits)).not.toThrow()
    expect(() => expectFits(outer, smaller)).toThrow(
      /^program outer: its largest tensor, matmul at decoder\/up \(float32\[1024,1024\]\), takes 4 MiB, but the adapter 'Card' takes 3\.9+\d* MiB at most; use smaller batches/,
    )
  })

  it('is not held against a device that cannot be asked, or has no limits', () => {
    expect(() => expectFits(outer, { ...smaller, adapter: null })).not.toThrow()
    expect(() => expectFits(outer, null)).not.toThrow()
  })
})

describe('an executable on a device that takes less', () => {
  it('is refused before a session starts, and so is a state', async () => {
    let started = 0
    const create = () => {
      started++
      return Promise.reject(new Error('started'))
    }
    const on: OrtDevice = {
      ort: { InferenceSession: { create }, Tensor: ort.Tensor },
      ...{ device: 'webgpu', providers: ['webgpu'], location: 'gpu-buffer', limits: smaller, advice: '' },
      startProfiling: null,
    }
    const enqueue = serialQueue()
    const options = { updates: {}, profiling: null, enqueue }
    await expect(OrtExecutable.compile(on, outer, serialize(outer), options)).rejects.toThrow(
      /^program outer: its largest tensor/,
    )
    const large = { w: float32([2 ** 20], new Float32Array(2 ** 20)) }
    await expect(placeTensors(on, large, enqueue)).rejects.toThrow(/input 'w' \(float32\[1048576\]\)/)
    expect(started).toBe(0)
    await expect(OrtExecutable.compile({ ...on, limits }, outer, serialize(outer), options)).rejects.toThrow(
      'started',
    )
  })
})

describe('the limits of WebGPU', () => {
  const device: VulkanDevice = {
    ...{ name: 'A', kind: 'integrated', vendor: 0x8086 },
    ...{ bufferBytes: 2 ** 30, bindingBytes: 2 ** 32 - 1, float16: true },
  }

  it('are those of the fastest kind of device, and of bindings or buffers, whichever is less', () => {
    expect(limitsOf([device])).toEqual({
      adapter: 'A',
      tensorBytes: 2 ** 30,
      isSoftware: false,
      float16: true,
    })
    const software: VulkanDevice = {
      ...device,
      name: 'S',
      kind: 'cpu',
      bindingBytes: 2 ** 27,
      float16: false,
    }
    expect(limitsOf([software])).toEqual({
      ...{ adapter: 'S', tensorBytes: 2 ** 27, isSoftware: true, float16: false },
    })
    expect(limitsOf([software, device]).adapter).toBe('A')
    const card: VulkanDevice = { ...device, name: 'C', kind: 'discrete' }
    expect(limitsOf([software, device, card, { ...card, name: 'D' }]).adapter).toBe('C')
  })

  it("are less than 2 GiB on NVIDIA's cards, whatever the driver says", () => {
    const card: VulkanDevice = { ...device, kind: 'discrete', vendor: 0x10de, bufferBytes: 2 ** 40 }
    expect(limitsOf([card]).tensorBytes).toBe(2 ** 31 - 4)
  })

  it('are what the specification promises where there is none to ask', () => {
    expect(limitsOf([])).toEqual({
      adapter: null,
      tensorBytes: 128 * 2 ** 20,
      isSoftware: null,
      float16: null,
    })
  })
})
