/** @file A compiled model, run through ONNX Runtime's C API. */
import { api, type Handle, logErrors } from './capi.ts'
import type { NativeTensor } from './nativeTensor.ts'

const optimizeAll = 99

/** How a session is started. */
export interface SessionSettings {
  readonly threads: number
  /** Where to write a profile; null for none. */
  readonly profilePrefix: string | null
  /** Options of CUDA's provider by the names that it gives them; null for the CPU alone. */
  readonly cuda: Readonly<Record<string, string>> | null
}

/** Puts CUDA's provider before the CPU's. @throws what is missing, as the library says it */
const appendCuda = (options: Handle, settings: Readonly<Record<string, string>>): void => {
  const { call, make, release } = api()
  const provider = make('CreateCUDAProviderOptions')
  try {
    const [keys, values] = [Object.keys(settings), Object.values(settings)]
    call('UpdateCUDAProviderOptions', provider, keys, values, keys.length)
    call('SessionOptionsAppendExecutionProvider_CUDA_V2', options, provider)
  } finally {
    release('ReleaseCUDAProviderOptions', provider)
  }
}

/** Settings of single runs. */
export class RunOptions {
  readonly handle: Handle

  /** @param entries by the keys of onnxruntime_run_options_config_keys.h */
  constructor(entries: Readonly<Record<string, string>>) {
    const { call, make } = api()
    this.handle = make('CreateRunOptions')
    for (const [key, value] of Object.entries(entries)) call('AddRunConfigEntry', this.handle, key, value)
  }

  release(): void {
    api().release('ReleaseRunOptions', this.handle)
  }
}

/** A compiled model. */
export class NativeSession {
  readonly handle: Handle

  /** @throws the library's message. */
  constructor(model: Uint8Array, { threads, profilePrefix, cuda }: SessionSettings) {
    const { call, make, release, env } = api()
    const options = make('CreateSessionOptions')
    try {
      call('SetSessionLogSeverityLevel', options, logErrors)
      call('SetSessionGraphOptimizationLevel', options, optimizeAll)
      call('SetIntraOpNumThreads', options, threads)
      call('SetInterOpNumThreads', options, 1)
      // The pattern's one large block comes on top of what the arena holds from the first run: 3.9 instead of 2.4 GiB
      // for a 384-wide step, and no faster.
      call('DisableMemPattern', options)
      // Denormals appear in Adam's second moments and slow element-wise passes tenfold.
      call('AddSessionConfigEntry', options, 'session.set_denormal_as_zero', '1')
      if (profilePrefix !== null) call('EnableProfiling', options, profilePrefix)
      if (cuda !== null) appendCuda(options, cuda)
      this.handle = make('CreateSessionFromArray', env, model, model.byteLength, options)
    } finally {
      release('ReleaseSessionOptions', options)
    }
  }

  /**
   * Runs on the calling thread and its pool, or waits for the device; every output is written to its tensor. Binding
   * tensors first (`RunWithBinding`) does the same by one more call for each.
   * @throws the library's message.
   */
  run(
    inputs: ReadonlyMap<string, NativeTensor>,
    outputs: ReadonlyMap<string, NativeTensor>,
    options: RunOptions | null = null,
  ): void {
    const handles = (tensors: ReadonlyMap<string, NativeTensor>) => [...tensors.values()].map((t) => t.handle)
    api().call(
      'Run',
      this.handle,
      options?.handle ?? null,
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
    api().make('SessionEndProfiling', this.handle, api().make('GetAllocatorWithDefaultOptions'))
  }

  release(): void {
    api().release('ReleaseSession', this.handle)
  }
}
