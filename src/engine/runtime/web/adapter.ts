/** @file The WebGPU adapter that a page is offered, and what it takes. */
import type { DeviceLimits } from '../runtime.ts'

/** What is read of a GPUAdapter (https://www.w3.org/TR/webgpu/#gpuadapter). */
export interface Adapter {
  readonly info: Readonly<
    Partial<Record<'vendor' | 'architecture' | 'device' | 'description', string>> & {
      readonly isFallbackAdapter?: boolean
    }
  >
  /** Where browsers said it before `info` did. */
  readonly isFallbackAdapter?: boolean
  readonly limits: { readonly maxBufferSize: number; readonly maxStorageBufferBindingSize: number }
  readonly features: Pick<ReadonlySet<string>, 'has'>
}

/** `navigator.gpu`. */
export interface Gpu {
  requestAdapter(options: { readonly powerPreference: 'high-performance' }): Promise<Adapter | null>
}

/** Adapters that compute on the CPU and may not say so. */
const software = /swiftshader|llvmpipe|lavapipe|basic render|software/i

/** What an adapter takes of a tensor, and how it calls itself. */
export const adapterLimits = ({ info, isFallbackAdapter, limits, features }: Adapter): DeviceLimits => {
  const parts = [info.vendor, info.architecture, info.device, info.description]
  const name = parts.filter((part) => part !== undefined && part !== '').join(' ')
  return {
    adapter: name === '' ? 'a GPU without a name' : name,
    tensorBytes: Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize),
    isSoftware: (info.isFallbackAdapter ?? isFallbackAdapter ?? false) || software.test(name),
    float16: features.has('shader-f16'),
  }
}

/**
 * The limits of the adapter that ONNX Runtime will be given, or why there is none, as the end of a sentence.
 * @param gpu absent in browsers without WebGPU, and on pages that are not secure
 */
export const offeredLimits = async (gpu: Gpu | undefined): Promise<DeviceLimits | string> => {
  if (gpu === undefined) return 'this browser, or a page that is not served securely, has no WebGPU'
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
    return adapter === null ? 'the browser offers no GPU for it' : adapterLimits(adapter)
  } catch (cause) {
    return `the browser offers no GPU for it (${(cause as Error).message})`
  }
}
