/** @file Programs through the JavaScript API of whichever ONNX Runtime is given: updates stay on the device, every other output comes back to the host. */
import type { HostTensor } from '../../host/tensor.ts'
import type { Program } from '../../ir/program.ts'
import type { OnnxModel } from '../../onnx/serialize.ts'
import { expectFits } from '../limits.ts'
import type { DeviceState, Executable, KernelTime, Traffic } from '../runtime.ts'
import { explainRunError } from './errors.ts'
import { expectHeld, gatherInputs, usedFeeds } from './inputs.ts'
import type { OrtDevice, OrtLibrary, OrtSession, OrtTensor } from './library.ts'
import { type Profiling, readProfile } from './profiling.ts'
import type { Enqueue } from './queue.ts'
import { fromOrt, startSession, wrapFor } from './session.ts'
import type { OrtState } from './state.ts'

const bytesIn = (tensors: readonly HostTensor[]): number =>
  tensors.reduce((sum, { data }) => sum + data.byteLength, 0)

/** A program and the session that runs it. */
interface CompiledProgram {
  readonly ort: OrtLibrary
  readonly program: Program
  readonly model: OnnxModel
  readonly updates: Readonly<Record<string, string>>
  readonly enqueue: Enqueue
  readonly session: OrtSession
  readonly profiling: Profiling | null
}

/** A program compiled for a device. */
export class OrtExecutable implements Executable {
  readonly #ort: OrtLibrary
  readonly #program: Program
  readonly #model: OnnxModel
  readonly #updates: Readonly<Record<string, string>>
  readonly #enqueue: Enqueue
  readonly #session: OrtSession
  readonly #profiling: Profiling | null
  #traffic: Traffic = { toDevice: 0, toHost: 0 }

  private constructor(compiled: CompiledProgram) {
    this.#ort = compiled.ort
    this.#program = compiled.program
    this.#model = compiled.model
    this.#updates = compiled.updates
    this.#enqueue = compiled.enqueue
    this.#session = compiled.session
    this.#profiling = compiled.profiling
  }

  /** Compiles. @throws what to install or use instead when the device does not start. */
  static async compile(
    on: OrtDevice,
    program: Program,
    model: OnnxModel,
    options: {
      readonly updates: Readonly<Record<string, string>>
      readonly profiling: Profiling | null
      readonly enqueue: Enqueue
    },
  ): Promise<OrtExecutable> {
    expectFits(program, on.limits)
    const { updates, profiling, enqueue } = options
    const stays = new Set(Object.values(updates))
    const session = await startSession(on, model, (output) => stays.has(output), profiling)
    return new OrtExecutable({ ort: on.ort, program, model, updates, enqueue, session, profiling })
  }

  get traffic(): Traffic {
    return this.#traffic
  }

  run(feeds: Readonly<Record<string, HostTensor>>, state?: DeviceState): Promise<Record<string, HostTensor>> {
    return this.#enqueue(() => this.#runNow(feeds, state as OrtState | undefined))
  }

  async #runNow(
    feeds: Readonly<Record<string, HostTensor>>,
    state: OrtState | undefined,
  ): Promise<Record<string, HostTensor>> {
    const held = (name: string): OrtTensor | undefined => state?.tensor(name)
    expectHeld(this.#program, this.#updates, held)
    const fed = usedFeeds(this.#program, this.#model, feeds, held)
    const wrap = wrapFor(this.#ort)
    const inputs = gatherInputs(this.#program, this.#model, (name) =>
      fed[name] === undefined ? held(name) : wrap(fed[name]),
    )
    const fetches = Object.values(this.#model.outputs)
    let results: Readonly<Record<string, OrtTensor>>
    try {
      results = await this.#session.run(Object.fromEntries(inputs), fetches)
    } catch (cause) {
      throw explainRunError(this.#program, this.#model, cause as Error)
    }
    const resultOf = (output: string): OrtTensor => results[this.#model.outputs[output]]
    for (const [name, output] of Object.entries(this.#updates)) state!.commit(name, resultOf(output))
    const updated = new Set(Object.values(this.#updates))
    const returned = Object.fromEntries(
      Object.keys(this.#model.outputs)
        .filter((output) => !updated.has(output))
        .map((output) => [output, fromOrt(resultOf(output))]),
    )
    this.#traffic = {
      toDevice: this.#traffic.toDevice + bytesIn(Object.values(fed)),
      toHost: this.#traffic.toHost + bytesIn(Object.values(returned)),
    }
    return returned
  }

  profile(): Promise<readonly KernelTime[]> {
    return this.#enqueue(async () =>
      readProfile(this.#program, this.#model, this.#profiling, () => this.#session.endProfiling()),
    )
  }

  dispose(): Promise<void> {
    return this.#enqueue(() => this.#session.release())
  }
}
