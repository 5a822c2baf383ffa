/**
 * @file What the adapter takes that ONNX Runtime's WebGPU provider would use. ONNX Runtime itself does not say; its
 * library asks for the fastest adapter and for all that this one has, which on Vulkan the driver can be asked, too.
 */
import type { DeviceLimits } from '../runtime.ts'
import { type VulkanDevice, vulkanDevices } from './vulkan.ts'

/** The least that every implementation of WebGPU has (its specification: maxStorageBufferBindingSize). */
const specified: DeviceLimits = { adapter: null, tensorBytes: 2 ** 27, isSoftware: null, float16: null }

const nvidia = 0x10de
/** Dawn, the WebGPU inside ONNX Runtime, binds no more than this of a buffer on NVIDIA's cards. */
const mostOnNvidia = 2 ** 31 - 4

/** In the order in which Dawn takes adapters when it is asked for the fastest. */
const preference: readonly VulkanDevice['kind'][] = ['discrete', 'integrated', 'virtual', 'other', 'cpu']

/**
 * The limits of the adapter taken from these. A tensor may be as large as a binding: ONNX Runtime 1.30 binds larger ones in pieces,
 * which its convolutions cannot read.
 */
export const limitsOf = (devices: readonly VulkanDevice[]): DeviceLimits => {
  const [first] = preference.flatMap((kind) => devices.filter((device) => device.kind === kind))
  if (first === undefined) return specified
  const { name, kind, vendor, bufferBytes, bindingBytes, float16 } = first
  const most = vendor === nvidia ? mostOnNvidia : Number.POSITIVE_INFINITY
  return {
    adapter: name,
    tensorBytes: Math.min(bufferBytes, bindingBytes, most),
    isSoftware: kind === 'cpu',
    float16,
  }
}

let known: DeviceLimits | undefined

/** Of this machine's adapter where it can be asked, which is under Linux; else what the specification promises. */
export const webGpuLimits = (): DeviceLimits => {
  known ??= limitsOf(process.platform === 'linux' ? (vulkanDevices() ?? []) : [])
  return known
}
