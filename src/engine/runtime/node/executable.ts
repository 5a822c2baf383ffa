/** @file Programs run by ONNX Runtime's C API, wherever their state lies. */
import type { HostTensor } from '../../host/tensor.ts'
import type { Program } from '../../ir/program.ts'
import type { OnnxModel } from '../../onnx/serialize.ts'
import { explainRunError } from '../ort/errors.ts'
import { expectHeld, gatherInputs, usedFeeds } from '../ort/inputs.ts'
import { type Profiling, readProfile } from '../ort/profiling.ts'
import type { Enqueue } from '../ort/queue.ts'
import { updatedInPlace } from '../overwrite.ts'
import type { DeviceState, Executable, KernelTime, Traffic } from '../runtime.ts'
import { CapturedRuns } from './graphs.ts'
import type { Exchange, Held, Memory } from './memory.ts'
import type { NativeTensor } from './nativeTensor.ts'
import { startProfiling } from './profiling.ts'
import { NativeSession, type SessionSettings } from './session.ts'
import type { NativeState } from './state.ts'

/** How a program is compiled, and where it runs. */
export interface NativeSettings extends Omit<SessionSettings, 'profilePrefix'> {
  readonly memory: Memory
  readonly updates: Readonly<Record<string, string>>
  readonly profile: boolean
  /** Whether runs are captured as CUDA graphs. */
  readonly graph: boolean
  readonly enqueue: Enqueue
}

/** A compiled program. */
export class NativeExecutable implements Executable {
  readonly #program: Program
  readonly #model: OnnxModel
  readonly #settings: NativeSettings
  readonly #profiling: Profiling | null
  readonly #session: NativeSession
  readonly #exchange: Exchange
  readonly #captured: CapturedRuns | null
  readonly #inPlace: ReadonlySet<string>
  #disposed = false

  /** @throws one sentence when the device does not start, or naming the op and the model path when it refuses the model. */
  constructor(program: Program, model: OnnxModel, settings: NativeSettings) {
    const { memory, updates, threads, cuda, graph } = settings
    this.#program = program
    this.#model = model
    this.#settings = settings
    memory.hold()
    this.#profiling = settings.profile ? startProfiling() : null
    try {
      this.#session = new NativeSession(model.bytes, {
        ...{ threads, cuda },
        profilePrefix: this.#profiling?.prefix ?? null,
      })
    } catch (cause) {
      this.#profiling?.discard()
      memory.drop()
      throw explainRunError(program, model, cause as Error)
    }
    this.#captured = graph ? new CapturedRuns(this.#session) : null
    this.#inPlace = updatedInPlace(program, updates)
    const updated = new Set(Object.values(updates))
    const returned = Object.entries(program.outputs).filter(([output]) => !updated.has(output))
    this.#exchange = memory.exchange(Object.fromEntries(returned))
  }

  get traffic(): Traffic {
    return this.#exchange.traffic
  }

  run(feeds: Readonly<Record<string, HostTensor>>, state?: DeviceState): Promise<Record<string, HostTensor>> {
    return this.#settings.enqueue(async () => this.#runNow(feeds, state as NativeState | undefined))
  }

  #runNow(
    feeds: Readonly<Record<string, HostTensor>>,
    state: NativeState | undefined,
  ): Record<string, HostTensor> {
    const held = (name: string): NativeTensor | undefined => state?.tensor(name)?.native
    expectHeld(this.#program, this.#settings.updates, held)
    const fed = usedFeeds(this.#program, this.#model, feeds, held)
    try {
      const sent = this.#exchange.send(fed)
      const inputs = gatherInputs(this.#program, this.#model, (name) => sent.get(name) ?? held(name))
      const targets = this.#targetsIn(state)
      this.#launch(inputs, targets)
      const returned = this.#exchange.receive()
      for (const name of targets.keys()) if (!this.#inPlace.has(name)) state!.swap(name)
      return returned
    } catch (cause) {
      throw explainRunError(this.#program, this.#model, cause as Error)
    } finally {
      this.#exchange.endRun()
    }
  }

  /** Where the next values of what is updated go, by the name of the state. */
  #targetsIn(state: NativeState | undefined): ReadonlyMap<string, Held> {
    const names = Object.keys(this.#settings.updates)
    return new Map(names.map((name) => [name, state!.target(name, this.#inPlace.has(name))]))
  }

  #launch(inputs: ReadonlyMap<string, NativeTensor>, targets: ReadonlyMap<string, Held>): void {
    const outputs = new Map<string, NativeTensor>()
    const own = this.#model.outputs
    for (const [name, { native }] of targets) outputs.set(own[this.#settings.updates[name]], native)
    for (const [output, tensor] of this.#exchange.outputs()) outputs.set(own[output], tensor)
    if (this.#captured === null) this.#session.run(inputs, outputs)
    else {
      const overwritten = [...targets].filter(([name]) => this.#inPlace.has(name))
      this.#captured.run(
        inputs,
        outputs,
        overwritten.map(([, target]) => target),
      )
    }
  }

  profile(): Promise<readonly KernelTime[]> {
    return this.#settings.enqueue(async () =>
      readProfile(this.#program, this.#model, this.#profiling, () => this.#session.endProfiling()),
    )
  }

  dispose(): Promise<void> {
    return this.#settings.enqueue(async () => {
      if (this.#disposed) return
      this.#disposed = true
      this.#captured?.release()
      this.#exchange.release()
      this.#session.release()
      this.#profiling?.discard()
      this.#settings.memory.drop()
    })
  }
}
