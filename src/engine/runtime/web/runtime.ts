/** @file Runs programs in a page or its workers: on the CPU by WebAssembly, or on a GPU by WebGPU. */
import { scalar } from '../../host/tensor.ts'
import { DeviceError, DeviceLostError } from '../deviceError.ts'
import { OrtRuntime } from '../ort/runtime.ts'
import type { DeviceLimits, Runtime } from '../runtime.ts'
import { type Gpu, offeredLimits } from './adapter.ts'
import { type LoadedDevice, loadWasm, loadWebGpu, type Start, type WasmPaths } from './library.ts'
import { type Page, threadsFor } from './threads.ts'

/** Settings of the runtime in a page. */
export interface WebRuntimeOptions {
  /** `auto`, the default, is WebGPU where there is a GPU for it, and WebAssembly elsewhere. */
  readonly device?: 'webgpu' | 'wasm' | 'auto'
  /** Whether WebAssembly computes, and says why, where WebGPU does not start; so it is with `auto` when absent. */
  readonly fallBack?: boolean
  /** Threads of one operator on the CPU; all cores when absent. The first runtime of a page decides. */
  readonly threads?: number
  /** Where ONNX Runtime's files lie; where the bundler put them when absent. The first runtime of a page decides. */
  readonly wasmPaths?: WasmPaths
}

/** A runtime that has computed something. */
export interface WebRuntime {
  readonly runtime: Runtime
  readonly device: 'webgpu' | 'wasm'
  /** Sentences to show to a person: where it computes, and why not elsewhere or with more threads. */
  readonly said: readonly string[]
}

/** What is asked of the page; everything is optional in some browser. */
interface Globals {
  readonly navigator?: { readonly gpu?: Gpu; readonly hardwareConcurrency?: number }
  readonly crossOriginIsolated?: boolean
}

const pageOf = ({ navigator, crossOriginIsolated }: Globals): Page => ({
  isIsolated: crossOriginIsolated === true,
  cores: navigator?.hardwareConcurrency ?? 1,
})

/** A runtime through which a number has gone and come back: what cannot start fails here. */
const tried = async (runtime: Runtime): Promise<Runtime> => {
  const state = await runtime.place({ x: scalar(0.5) })
  const { x } = await state.read()
  await state.dispose()
  if (x.data[0] === 0.5) return runtime
  throw new Error(`runtime: it was given 0.5 and gave back ${x.data[0]}; take another device`)
}

const onWebGpu = async (start: Start, limits: DeviceLimits): Promise<WebRuntime> => {
  const { on } = await loadWebGpu(start, limits)
  const software = limits.isSoftware === true ? ', which is the CPU under another name, and slow' : ''
  return {
    runtime: await tried(new OrtRuntime(on, 'any')),
    device: 'webgpu',
    said: [`Computing by WebGPU on ${limits.adapter}${software}.`],
  }
}

const threadsSaid = ({ threads }: LoadedDevice, start: Start, said: string | null): string[] => {
  if (threads !== start.threads)
    return [`${threads} threads as before, not ${start.threads}: the first runtime of a page decides.`]
  return said === null ? [] : [said]
}

const onWasm = async (start: Start, said: string | null, why: readonly string[]): Promise<WebRuntime> => {
  const loaded = await loadWasm(start)
  const { threads } = loaded
  return {
    runtime: await tried(new OrtRuntime(loaded.on, 'cpu')),
    device: 'wasm',
    said: [
      ...why,
      `Computing on the CPU by WebAssembly with ${threads} thread${threads === 1 ? '' : 's'}.`,
      ...threadsSaid(loaded, start, said),
    ],
  }
}

/** Why a GPU that there is does not compute. */
const reasonOf = (cause: Error): string => {
  if (cause instanceof DeviceLostError) return `${cause.reason}; reload the page to have it again`
  return cause instanceof DeviceError ? cause.reason : cause.message
}

/**
 * Opens a runtime in a page, or in a worker of it. onnxruntime-web is loaded here and not before.
 * @throws one sentence when the device is not there or does not start, or onnxruntime-web is not installed
 */
export const openWebRuntime = async ({
  device = 'auto',
  fallBack = device === 'auto',
  threads: asked,
  wasmPaths,
}: WebRuntimeOptions = {}): Promise<WebRuntime> => {
  const globals = globalThis as Globals
  const { threads, said } = threadsFor(pageOf(globals), asked)
  const start = { threads, wasmPaths }
  if (device === 'wasm') return onWasm(start, said, [])
  const because = (reason: string): Promise<WebRuntime> =>
    onWasm(start, said, [`WebGPU is not used: ${reason}.`])
  const limits = await offeredLimits(globals.navigator?.gpu)
  if (typeof limits === 'string') {
    if (fallBack) return because(limits)
    throw new Error(`device webgpu: ${limits}; take 'wasm', or 'auto', which falls back to it`)
  }
  if (device === 'auto' && limits.isSoftware === true)
    return because(`its adapter, ${limits.adapter}, is the CPU under another name`)
  const opened = onWebGpu(start, limits)
  return fallBack ? opened.catch((cause: Error) => because(reasonOf(cause))) : opened
}
