/**
 * @file ONNX Runtime's C API, for the CPU and CUDA. onnxruntime-node copies every output into fresh memory, preallocated
 * or not: a fifth of a training step of 5 million parameters goes into copying its own state, and three generations of
 * copies wait for the garbage collector; of CUDA's memory it knows nothing. The C API of the very library that it brings
 * writes outputs where they belong.
 */
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import './telemetry.ts'
import { koffi } from '../../../native/library.ts'

/** A pointer of the library's, or to memory of a device. */
export type Handle = bigint | null

/** Version of the function table asked for: from 1.22 on; later libraries serve it unchanged. */
const apiVersion = 22
/** Only errors concern the user: ORT warns about every initializer that no node reads after constant folding. */
export const logErrors: number = 3

/** Where each function stands in the table `OrtApi` of onnxruntime_c_api.h; entries are only ever appended. */
const signatures = {
  GetErrorMessage: [2, 'const char *', 'const void *status'],
  CreateEnv: [3, 'void *', 'int level, const char *id, _Out_ void **env'],
  CreateSessionFromArray: [
    8,
    'void *',
    'void *env, const void *model, size_t bytes, void *options, _Out_ void **session',
  ],
  Run: [
    9,
    'void *',
    'void *session, void *options, const char **inputNames, void **inputs, size_t inputCount, const char **outputNames, size_t outputCount, _Inout_ void **outputs',
  ],
  CreateSessionOptions: [10, 'void *', '_Out_ void **options'],
  EnableProfiling: [14, 'void *', 'void *options, OrtPath prefix'],
  DisableMemPattern: [17, 'void *', 'void *options'],
  SetSessionLogSeverityLevel: [22, 'void *', 'void *options, int level'],
  SetSessionGraphOptimizationLevel: [23, 'void *', 'void *options, int level'],
  SetIntraOpNumThreads: [24, 'void *', 'void *options, int threads'],
  SetInterOpNumThreads: [25, 'void *', 'void *options, int threads'],
  CreateRunOptions: [39, 'void *', '_Out_ void **options'],
  CreateTensorWithDataAsOrtValue: [
    49,
    'void *',
    'void *memory, void *data, size_t bytes, const int64_t *shape, size_t rank, int type, _Out_ void **value',
  ],
  CreateMemoryInfo: [
    68,
    'void *',
    'const char *name, int allocator, int device, int kind, _Out_ void **memory',
  ],
  AllocatorAlloc: [75, 'void *', 'void *allocator, size_t bytes, _Out_ void **data'],
  AllocatorFree: [76, 'void *', 'void *allocator, void *data'],
  GetAllocatorWithDefaultOptions: [78, 'void *', '_Out_ void **allocator'],
  ReleaseStatus: [93, 'void', 'void *status'],
  ReleaseMemoryInfo: [94, 'void', 'void *memory'],
  ReleaseSession: [95, 'void', 'void *session'],
  ReleaseValue: [96, 'void', 'void *value'],
  ReleaseRunOptions: [97, 'void', 'void *options'],
  ReleaseSessionOptions: [100, 'void', 'void *options'],
  SessionEndProfiling: [110, 'void *', 'void *session, void *allocator, _Out_ void **file'],
  AddSessionConfigEntry: [130, 'void *', 'void *options, const char *key, const char *value'],
  CreateAllocator: [131, 'void *', 'void *session, void *memory, _Out_ void **allocator'],
  ReleaseAllocator: [132, 'void', 'void *allocator'],
  AddRunConfigEntry: [165, 'void *', 'void *options, const char *key, const char *value'],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, 'void *', 'void *options, void *provider'],
  CreateCUDAProviderOptions: [205, 'void *', '_Out_ void **provider'],
  UpdateCUDAProviderOptions: [
    206,
    'void *',
    'void *provider, const char **keys, const char **values, size_t count',
  ],
  ReleaseCUDAProviderOptions: [208, 'void', 'void *provider'],
} as const

type FunctionName = keyof typeof signatures

/** The folder of onnxruntime-node that holds its library, and the library. @throws when this platform has none. */
export const libraryPath = (): string => {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node')
  const folder = join(dirname(entry), '..', 'bin', 'napi-v6', process.platform, process.arch)
  const files = readdirSync(folder).filter((name) => /^(lib)?onnxruntime\.(so|dll|\d|dylib)/.test(name))
  if (files[0] === undefined) {
    throw new Error(
      `runtime: ${folder} holds no ONNX Runtime library; reinstall onnxruntime-node for ${process.platform} ${process.arch}`,
    )
  }
  return join(folder, files[0])
}

/** The library's functions. */
interface Api {
  /** Calls a function that returns a status. @throws the library's message. */
  call(name: FunctionName, ...args: readonly unknown[]): void
  /** Calls a function whose last parameter is what it makes. @throws the library's message. */
  make(name: FunctionName, ...args: readonly unknown[]): Handle
  /** Calls a function that cannot fail. */
  release(name: FunctionName, handle: Handle): void
  readonly env: Handle
}

/** Loads the library and its function table once. */
const openApi = (): Api => {
  koffi.alias('OrtPath', process.platform === 'win32' ? 'str16' : 'str')
  const getBase = koffi.load(libraryPath()).func('const void *OrtGetApiBase()')
  const base = koffi.decode(
    getBase(),
    koffi.struct({ GetApi: 'void *', GetVersionString: 'void *' }),
  ) as Readonly<Record<'GetApi', Handle>>
  const getApi = koffi.decode(base.GetApi, koffi.proto('const void *(uint32_t version)'))
  const last = Math.max(...Object.values(signatures).map(([index]) => index))
  const table = koffi.decode(getApi(apiVersion), koffi.array('void *', last + 1)) as readonly Handle[]
  const functions = Object.fromEntries(
    Object.entries(signatures).map(([name, [index, result, parameters]]) => [
      name,
      koffi.decode(table[index], koffi.proto(`${result} ${name}(${parameters})`)),
    ]),
  ) as Readonly<Record<FunctionName, (...args: readonly unknown[]) => Handle>>

  const call = (name: FunctionName, ...args: readonly unknown[]): void => {
    const status = functions[name](...args)
    if (status === null) return
    const message = String(functions.GetErrorMessage(status))
    functions.ReleaseStatus(status)
    throw new Error(message)
  }
  const make = (name: FunctionName, ...args: readonly unknown[]): Handle => {
    const made: [Handle] = [null]
    call(name, ...args, made)
    return made[0]
  }
  return {
    call,
    make,
    release: (name: FunctionName, handle: Handle): void => void functions[name](handle),
    env: make('CreateEnv', logErrors, 'unified-latents'),
  }
}

let opened: Api | undefined

/** The library's functions, loaded on first use. */
export const api = (): Api => {
  opened ??= openApi()
  return opened
}
