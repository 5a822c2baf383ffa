/**
 * @file ONNX Runtime's C API, for the CPU. onnxruntime-node copies every output into fresh memory, preallocated or not:
 * a fifth of a training step of 5 million parameters goes into copying its own state, and three generations of copies
 * wait for the garbage collector. The C API of the very library that it brings writes outputs where they belong.
 */
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import './telemetry.ts'
import { koffi } from '../../../native/library.ts'
import { type HostTensor, onnxElementType } from '../../host/tensor.ts'

/** A pointer of the library's. */
type Handle = unknown

/** Version of the function table asked for: from 1.22 on; later libraries serve it unchanged. */
const apiVersion = 22
/** Only errors concern the user: ORT warns about every initializer that no node reads after constant folding. */
const logErrors = 3
const optimizeAll = 99
const arenaAllocator = 1
const defaultMemory = 0

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
    'void *session, void *options, const char **inputNames, void **inputs, size_t inputCount, ' +
      'const char **outputNames, size_t outputCount, _Inout_ void **outputs',
  ],
  CreateSessionOptions: [10, 'void *', '_Out_ void **options'],
  EnableProfiling: [
    14,
    'void *',
    `void *options, const ${process.platform === 'win32' ? 'str16' : 'str'} prefix`,
  ],
  DisableMemPattern: [17, 'void *', 'void *options'],
  SetSessionLogSeverityLevel: [22, 'void *', 'void *options, int level'],
  SetSessionGraphOptimizationLevel: [23, 'void *', 'void *options, int level'],
  SetIntraOpNumThreads: [24, 'void *', 'void *options, int threads'],
  SetInterOpNumThreads: [25, 'void *', 'void *options, int threads'],
  CreateTensorWithDataAsOrtValue: [
    49,
    'void *',
    'void *memory, void *data, size_t bytes, const int64_t *shape, size_t rank, int type, _Out_ void **value',
  ],
  CreateCpuMemoryInfo: [69, 'void *', 'int allocator, int kind, _Out_ void **memory'],
  GetAllocatorWithDefaultOptions: [78, 'void *', '_Out_ void **allocator'],
  ReleaseStatus: [93, 'void', 'void *status'],
  ReleaseSession: [95, 'void', 'void *session'],
  ReleaseValue: [96, 'void', 'void *value'],
  ReleaseSessionOptions: [100, 'void', 'void *options'],
  SessionEndProfiling: [110, 'void *', 'void *session, void *allocator, _Out_ void **file'],
  AddSessionConfigEntry: [130, 'void *', 'void *options, const char *key, const char *value'],
} as const satisfies Readonly<Record<string, readonly [number, string, string]>>

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

/** Loads the library and its function table once. */
const openApi = () => {
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

  /** Calls a function that returns a status. @throws the library's message. */
  const call = (name: FunctionName, ...args: readonly unknown[]): void => {
    const status = functions[name](...args)
    if (status === null) return
    const message = String(functions.GetErrorMessage(status))
    functions.ReleaseStatus(status)
    throw new Error(message)
  }
  /** Calls a function whose last parameter is what it makes. */
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
    memory: make('CreateCpuMemoryInfo', arenaAllocator, defaultMemory),
  }
}

let opened: ReturnType<typeof openApi> | undefined
const api = (): ReturnType<typeof openApi> => {
  opened ??= openApi()
  return opened
}

/** A tensor whose memory is a host tensor's, which it keeps alive. */
export class NativeTensor {
  readonly host: HostTensor
  readonly handle: Handle

  constructor(host: HostTensor) {
    const { data, shape, dtype } = host
    // Small typed arrays lie in the moving heap until their buffer is asked for.
    void data.buffer
    this.host = host
    this.handle = api().make(
      'CreateTensorWithDataAsOrtValue',
      api().memory,
      data,
      data.byteLength,
      shape.map((d) => BigInt(d)),
      shape.length,
      onnxElementType[dtype],
    )
  }

  release(): void {
    api().release('ReleaseValue', this.handle)
  }
}

/** A compiled model on the CPU. */
export class NativeSession {
  readonly #handle: Handle

  /** @param profilePrefix where to write a profile; null for none @throws the library's message. */
  constructor(model: Uint8Array, threads: number, profilePrefix: string | null) {
    const { call, make, release, env } = api()
    const options = make('CreateSessionOptions')
    call('SetSessionLogSeverityLevel', options, logErrors)
    call('SetSessionGraphOptimizationLevel', options, optimizeAll)
    call('SetIntraOpNumThreads', options, threads)
    call('SetInterOpNumThreads', options, 1)
    // The pattern's one large block comes on top of what the arena holds from the first run: 3.9 instead of 2.4 GiB for
    // a 384-wide step, and no faster.
    call('DisableMemPattern', options)
    // Denormals appear in Adam's second moments and slow element-wise passes tenfold.
    call('AddSessionConfigEntry', options, 'session.set_denormal_as_zero', '1')
    if (profilePrefix !== null) call('EnableProfiling', options, profilePrefix)
    try {
      this.#handle = make('CreateSessionFromArray', env, model, model.byteLength, options)
    } finally {
      release('ReleaseSessionOptions', options)
    }
  }

  /** Runs on the calling thread and its pool, writing every output to its tensor. @throws the library's message. */
  run(inputs: ReadonlyMap<string, NativeTensor>, outputs: ReadonlyMap<string, NativeTensor>): void {
    const handles = (tensors: ReadonlyMap<string, NativeTensor>) => [...tensors.values()].map((t) => t.handle)
    api().call(
      'Run',
      this.#handle,
      null,
      [...inputs.keys()],
      handles(inputs),
      inputs.size,
      [...outputs.keys()],
      outputs.size,
      handles(outputs),
    )
  }

  /** Writes the profile. */
  endProfiling(): void {
    api().make('SessionEndProfiling', this.#handle, api().make('GetAllocatorWithDefaultOptions'))
  }

  release(): void {
    api().release('ReleaseSession', this.#handle)
  }
}
