/** @file onnxruntime-web, loaded when it is first needed: its smaller build for WebAssembly, the other for WebGPU. */
import type { OrtDevice, OrtLibrary } from '../ort/library.ts'
import type { DeviceLimits } from '../runtime.ts'
import { type LosableDevice, losable } from './loss.ts'

/** Where ONNX Runtime's files lie: a folder's URL with a slash at its end, or the URL of each. */
export type WasmPaths = string | { readonly mjs?: string; readonly wasm?: string }

/** What a library is told before its first session; it listens only once. */
export interface Start {
  readonly threads: number
  /** By default where the bundler put them. */
  readonly wasmPaths?: WasmPaths | undefined
}

/** The part of onnxruntime-web that is used. */
interface WebLibrary extends OrtLibrary {
  readonly env: {
    readonly wasm: { numThreads?: number; wasmPaths?: unknown }
    /** Of the newest session; the package's types say that it is a promise. */
    readonly webgpu: { readonly device: unknown }
  }
}

type Build = 'wasm' | 'webgpu'

const loaders: Readonly<Record<Build, () => Promise<WebLibrary>>> = {
  wasm: () => import('onnxruntime-web/wasm'),
  webgpu: () => import('onnxruntime-web/webgpu'),
}

const started = new Map<Build, Start>()

const advice: Readonly<Record<Build, string>> = {
  wasm: "ONNX Runtime's .wasm file must be where the bundler puts it, or where wasmPaths says",
  webgpu: "take device 'wasm', or 'auto', which falls back to it",
}

/** Loads a build and tells it how to start. @returns how it did: as the first who asked wanted */
const load = async (
  build: Build,
  start: Start,
): Promise<{ readonly ort: WebLibrary; readonly as: Start }> => {
  const ort = await loaders[build]().catch((cause: unknown) => {
    throw new Error(
      `runtime: onnxruntime-web could not be loaded (${(cause as Error).message}); install it beside this package`,
      { cause },
    )
  })
  const known = started.get(build)
  if (known !== undefined) return { ort, as: known }
  ort.env.wasm.numThreads = start.threads
  if (start.wasmPaths !== undefined) ort.env.wasm.wasmPaths = start.wasmPaths
  started.set(build, start)
  return { ort, as: start }
}

/** A library and its device, with the threads that it computes on the CPU with. */
export interface LoadedDevice {
  readonly on: OrtDevice
  readonly threads: number
}

/** The CPU by WebAssembly. */
export const loadWasm = async (start: Start): Promise<LoadedDevice> => {
  const { ort, as } = await load('wasm', start)
  const on: OrtDevice = {
    ...{ ort, device: 'cpu', providers: ['wasm'], location: 'cpu', limits: null },
    ...{ startProfiling: null, advice: advice.wasm },
  }
  return { on, threads: as.threads }
}

/** One for all runtimes of a page: a device that is lost is lost to all of them. */
let onGpu: OrtLibrary | undefined

/** The GPU by WebGPU. @param limits of the adapter that ONNX Runtime will be given */
export const loadWebGpu = async (start: Start, limits: DeviceLimits): Promise<LoadedDevice> => {
  const { ort: loaded, as } = await load('webgpu', start)
  onGpu ??= losable(loaded, () => loaded.env.webgpu.device as LosableDevice | undefined)
  const on: OrtDevice = {
    ...{ ort: onGpu, device: 'webgpu', providers: ['webgpu', 'wasm'], location: 'gpu-buffer', limits },
    ...{ startProfiling: null, advice: advice.webgpu },
  }
  return { on, threads: as.threads }
}
