/**
 * @file What is needed of ONNX Runtime's JavaScript API. The packages onnxruntime-node and onnxruntime-web both have it (it
 * is onnxruntime-common's), so that one adapter serves either; none is imported here.
 */
import type { HostTensor } from '../../host/tensor.ts'
import type { Device, DeviceLimits } from '../runtime.ts'
import type { Profiling } from './profiling.ts'

/** A tensor of the library's, in host memory or on the device. */
export interface OrtTensor {
  readonly type: string
  readonly dims: readonly number[]
  /** @throws for a tensor that lies on the device. */
  readonly data: unknown
  /** Frees its memory. */
  dispose(): void
}

/** A compiled model. Declared as methods: a library may ask for more of a tensor than is known here, as it made it. */
export interface OrtSession {
  run(
    feeds: Readonly<Record<string, OrtTensor>>,
    fetches: string[],
  ): Promise<Readonly<Record<string, OrtTensor>>>
  endProfiling(): void
  release(): Promise<void>
}

/** Where an output of a session is put. */
export type OrtLocation = 'cpu' | 'gpu-buffer'

/** How a session is started. */
export interface OrtSessionOptions {
  readonly executionProviders: string[]
  readonly graphOptimizationLevel: 'all'
  readonly enableMemPattern: boolean
  readonly logSeverityLevel: 3
  readonly preferredOutputLocation: Record<string, OrtLocation>
  readonly enableProfiling?: boolean
  readonly profileFilePrefix?: string
}

/** ONNX Runtime. */
export interface OrtLibrary {
  readonly InferenceSession: {
    create(model: Uint8Array, options: OrtSessionOptions): Promise<OrtSession>
  }
  readonly Tensor: new (type: HostTensor['dtype'], data: HostTensor['data'], dims: number[]) => OrtTensor
}

/** A library and the device that it shall use. */
export interface OrtDevice {
  readonly ort: OrtLibrary
  readonly device: Device
  /** Execution providers, the preferred one first. */
  readonly providers: readonly string[]
  /** Where state stays between runs. */
  readonly location: OrtLocation
  readonly limits: DeviceLimits | null
  /** Begins a profile; null where the library writes none. */
  readonly startProfiling: (() => Profiling) | null
  /** What to do when the device does not start, as the end of a sentence. */
  readonly advice: string
}
