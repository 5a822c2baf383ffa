/** @file Runs programs through the JavaScript API of whichever ONNX Runtime is given. */
import type { HostTensor } from '../../host/tensor.ts'
import type { Compute, EmissionTarget } from '../../ir/graph.ts'
import type { Program } from '../../ir/program.ts'
import { serialize } from '../../onnx/serialize.ts'
import { expectUpdates } from '../overwrite.ts'
import type { CompileOptions, Device, DeviceLimits, DeviceState, Executable, Runtime } from '../runtime.ts'
import { OrtExecutable } from './executable.ts'
import type { OrtDevice } from './library.ts'
import type { Profiling } from './profiling.ts'
import { type Enqueue, serialQueue } from './queue.ts'
import { placeTensors } from './state.ts'

const startProfiling = (program: Program, { startProfiling: start }: OrtDevice): Profiling => {
  if (start !== null) return start()
  throw new Error(
    `program ${program.name}: this ONNX Runtime writes no profiles in a page; compile without { profile: true }`,
  )
}

/** The runtime contract on a library and a device of it. */
export class OrtRuntime implements Runtime {
  readonly isHalfPrecision: boolean
  readonly #on: OrtDevice
  readonly #emission: { readonly target: EmissionTarget; readonly compute: Compute }
  readonly #enqueue: Enqueue = serialQueue()

  constructor(on: OrtDevice, target: EmissionTarget, compute: Compute = 'float32') {
    this.isHalfPrecision = compute === 'float16'
    this.#on = on
    this.#emission = { target, compute }
  }

  get device(): Device {
    return this.#on.device
  }

  get limits(): DeviceLimits | null {
    return this.#on.limits
  }

  async compile(
    program: Program,
    { updates = {}, profile = false }: CompileOptions = {},
  ): Promise<Executable> {
    expectUpdates(program, updates)
    const model = serialize(program, this.#emission)
    const profiling = profile ? startProfiling(program, this.#on) : null
    const enqueue = this.#enqueue
    return OrtExecutable.compile(this.#on, program, model, { updates, profiling, enqueue }).catch(
      (cause: Error) => {
        profiling?.discard()
        throw cause
      },
    )
  }

  place(tensors: Readonly<Record<string, HostTensor>>): Promise<DeviceState> {
    return placeTensors(this.#on, tensors, this.#enqueue)
  }
}
