/** @file What the runtime of pages makes of what a browser says, without a browser (test/browser has one). */
import { describe, expect, it } from 'vitest'
import { type Adapter, adapterLimits, offeredLimits } from '../../src/engine/runtime/web/adapter.ts'
import { openWebRuntime } from '../../src/engine/runtime/web/runtime.ts'
import { threadsFor } from '../../src/engine/runtime/web/threads.ts'

const adapterOf = (more: Partial<Adapter>): Adapter => ({
  info: { vendor: 'acme', architecture: 'rocket', device: '', description: '' },
  limits: { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 31 },
  features: new Set(['shader-f16']),
  ...more,
})

describe('the limits of an adapter', () => {
  it('are those of buffers or bindings, whichever is less, under the name that it gives', () => {
    expect(adapterLimits(adapterOf({}))).toEqual({
      ...{ adapter: 'acme rocket', tensorBytes: 2 ** 30, isSoftware: false, float16: true },
    })
    const limits = { maxBufferSize: 2 ** 33, maxStorageBufferBindingSize: 2 ** 27 }
    expect(adapterLimits(adapterOf({ limits, features: new Set() }))).toMatchObject({
      ...{ tensorBytes: 2 ** 27, float16: false },
    })
    expect(adapterLimits(adapterOf({ info: {} })).adapter).toBe('a GPU without a name')
  })

  it('say that it is the CPU where it says so, in either place, or is known to be', () => {
    const isSoftware = (more: Partial<Adapter>): boolean | null => adapterLimits(adapterOf(more)).isSoftware
    expect(isSoftware({ info: { vendor: 'acme', isFallbackAdapter: true } })).toBe(true)
    expect(isSoftware({ isFallbackAdapter: true })).toBe(true)
    expect(isSoftware({ info: { vendor: 'google', architecture: 'swiftshader' } })).toBe(true)
    expect(isSoftware({ info: { description: 'llvmpipe (LLVM 15)', isFallbackAdapter: false } })).toBe(true)
    expect(isSoftware({ info: { isFallbackAdapter: false }, isFallbackAdapter: true })).toBe(false)
  })

  it('are a reason where there is none', async () => {
    expect(await offeredLimits(undefined)).toMatch(/has no WebGPU$/)
    expect(await offeredLimits({ requestAdapter: async () => null })).toBe('the browser offers no GPU for it')
    const requestAdapter = () => Promise.reject(new Error('lost'))
    expect(await offeredLimits({ requestAdapter })).toBe('the browser offers no GPU for it (lost)')
  })
})

describe('threads', () => {
  it('are all cores, or as asked, where memory may be shared', () => {
    const page = { isIsolated: true, cores: 6 }
    expect(threadsFor(page, undefined)).toEqual({ threads: 6, said: null })
    expect(threadsFor(page, 2)).toEqual({ threads: 2, said: null })
    for (const asked of [0, -1, 1.5, Number.NaN])
      expect(() => threadsFor(page, asked)).toThrow(`runtime: threads is ${asked}, expected a whole number`)
  })

  it('are one elsewhere, which is said unless no more was wanted', () => {
    const page = { isIsolated: false, cores: 6 }
    expect(threadsFor(page, undefined)).toEqual({
      threads: 1,
      said: 'One thread of 6: this page is not cross-origin isolated; its server must send the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.',
    })
    expect(threadsFor(page, 1)).toEqual({ threads: 1, said: null })
    expect(threadsFor({ ...page, cores: 1 }, undefined)).toEqual({ threads: 1, said: null })
  })
})

it('without WebGPU is refused in one sentence that says what to take', async () => {
  await expect(openWebRuntime({ device: 'webgpu' })).rejects.toThrow(
    "device webgpu: this browser, or a page that is not served securely, has no WebGPU; take 'wasm', or 'auto', which falls back to it",
  )
})
