/**
 * @file What the Vulkan driver says of its devices, asked through its loader. WebGPU stands on Vulkan under Linux, and
 * onnxruntime-node tells nothing of the adapter that it takes.
 */
import { koffi, type LibraryHandle, loadedLibrary } from '../../../native/library.ts'

/** A device of Vulkan's. */
export interface VulkanDevice {
  readonly name: string
  readonly kind: 'discrete' | 'integrated' | 'virtual' | 'cpu' | 'other'
  readonly vendor: number
  /** Bytes of a buffer, and of what of it a kernel can be bound to. */
  readonly bufferBytes: number
  readonly bindingBytes: number
  /** Whether kernels compute with 16-bit floats and read them from buffers. */
  readonly float16: boolean
}

/** VkStructureType of what is asked for. */
const type = {
  applicationInfo: 0,
  instanceCreateInfo: 1,
  features2: 1_000_059_000,
  properties2: 1_000_059_001,
  float16: 1_000_082_000,
  storage16: 1_000_083_000,
  maintenance3: 1_000_168_000,
  maintenance4: 1_000_413_001,
} as const

/** Vulkan 1.3, which has all of it. */
const apiVersion = (1 << 22) | (3 << 12)
/** Bytes of the common head of structures: their type and the address of the next. */
const head = 16
/** Where VkPhysicalDeviceProperties has vendorID, deviceType, deviceName and limits.maxStorageBufferRange. */
const [vendorAt, kindAt, nameAt, storageRangeAt] = [8, 16, 20, 324].map((at) => at + head) as [
  number,
  number,
  number,
  number,
]
const kinds = ['other', 'integrated', 'discrete', 'virtual', 'cpu'] as const

/** A structure of `bytes` after its head, in front of another one. */
const structure = (sType: number, bytes: number, next: Buffer | null): Buffer => {
  const made = Buffer.alloc(head + bytes)
  made.writeUInt32LE(sType, 0)
  if (next !== null) made.writeBigUInt64LE(koffi.address(next), 8)
  return made
}

const textAt = (bytes: Buffer, at: number): string => bytes.subarray(at, bytes.indexOf(0, at)).toString()

const describe = (library: LibraryHandle, device: bigint): VulkanDevice => {
  const ask = (name: string, answer: Buffer): void =>
    void library.func(name, 'void', ['uintptr_t', 'void *'])(device, answer)
  const maintenance4 = structure(type.maintenance4, 8, null)
  const maintenance3 = structure(type.maintenance3, 16, maintenance4)
  const properties = structure(type.properties2, 824, maintenance3)
  ask('vkGetPhysicalDeviceProperties2', properties)
  const storage16 = structure(type.storage16, 16, null)
  const float16 = structure(type.float16, 8, storage16)
  ask('vkGetPhysicalDeviceFeatures2', structure(type.features2, 224, float16))
  // A driver that does not know a structure leaves it as it was.
  const [buffer, allocation] = [
    maintenance4.readBigUInt64LE(head),
    maintenance3.readBigUInt64LE(head + 8), // after a uint32 that pads to 8
  ]
  return {
    name: textAt(properties, nameAt),
    kind: kinds[properties.readUInt32LE(kindAt)] ?? 'other',
    vendor: properties.readUInt32LE(vendorAt),
    bufferBytes: Number(buffer > 0n ? buffer : allocation),
    bindingBytes: properties.readUInt32LE(storageRangeAt),
    float16: float16.readUInt32LE(head) === 1 && storage16.readUInt32LE(head) === 1,
  }
}

/** An instance of the loader's; null where it makes none. */
const createInstance = (library: LibraryHandle): bigint | null => {
  // VkInstanceCreateInfo with VkApplicationInfo behind it, in one piece: neither may be collected before the call.
  const application = 64
  const wanted = Buffer.alloc(application + 48)
  wanted.writeUInt32LE(type.instanceCreateInfo, 0)
  wanted.writeBigUInt64LE(koffi.address(wanted) + BigInt(application), 24)
  wanted.writeUInt32LE(type.applicationInfo, application)
  wanted.writeUInt32LE(apiVersion, application + 44)
  const made = new BigUint64Array(1)
  const create = library.func('vkCreateInstance', 'int', ['void *', 'void *', 'void *'])
  return create(wanted, null, made) === 0 ? made[0] : null
}

/** All devices in the loader's order; null where there is no loader, or it has no driver. */
export const vulkanDevices = (): readonly VulkanDevice[] | null => {
  const library = loadedLibrary('libvulkan.so.1')
  const instance = library && createInstance(library)
  if (library === null || instance === null) return null
  try {
    const enumerate = library.func('vkEnumeratePhysicalDevices', 'int', ['uintptr_t', 'void *', 'void *'])
    const count = new Uint32Array(1)
    enumerate(instance, count, null)
    const handles = new BigUint64Array(count[0])
    enumerate(instance, count, handles)
    return [...handles.subarray(0, count[0])].map((device) => describe(library, device))
  } finally {
    library.func('vkDestroyInstance', 'void', ['uintptr_t', 'void *'])(instance, null)
  }
}
