/** @file Programs and state on the CPU: one copy of the state, updated where it lies. */
import { type HostTensor, zeros } from '../../host/tensor.ts'
import type { Program } from '../../ir/program.ts'
import type { OnnxModel } from '../../onnx/serialize.ts'
import { explainRunError } from '../ort/errors.ts'
import { expectHeld, expectTensor, gatherInputs, unknownName } from '../ort/inputs.ts'
import { type Profiling, readProfile } from '../ort/profiling.ts'
import type { Enqueue } from '../ort/queue.ts'
import { updatedInPlace } from '../overwrite.ts'
import type { DeviceState, Executable, KernelTime, Traffic } from '../runtime.ts'
import { NativeSession, NativeTensor } from './capi.ts'
import { startProfiling } from './profiling.ts'

const copyOf = (t: HostTensor): HostTensor => ({ ...t, data: t.data.slice() })

/** State in host memory. Tensors that cannot be updated in place get a second buffer on first use. */
export class CpuState implements DeviceState {
  readonly #current = new Map<string, NativeTensor>()
  readonly #spare = new Map<string, NativeTensor>()

  /** Takes over the given arrays without copying them. */
  constructor(tensors: Readonly<Record<string, HostTensor>>) {
    for (const [name, t] of Object.entries(tensors)) this.#current.set(name, new NativeTensor(t))
  }

  get names(): readonly string[] {
    return [...this.#current.keys()]
  }

  /** The current tensor; undefined when the state does not hold that name. */
  tensor(name: string): NativeTensor | undefined {
    return this.#current.get(name)
  }

  /** Where the next value goes: over the current one, or to the spare buffer. */
  target(name: string, inPlace: boolean): NativeTensor {
    const current = this.#require(name)
    if (inPlace) return current
    const spare = this.#spare.get(name) ?? new NativeTensor(copyOf(current.host))
    this.#spare.set(name, spare)
    return spare
  }

  /** Makes the spare buffer current after a successful run. */
  swap(name: string): void {
    const [current, spare] = [this.#current.get(name)!, this.#spare.get(name)!]
    this.#current.set(name, spare)
    this.#spare.set(name, current)
  }

  async read(names: readonly string[] = this.names): Promise<Record<string, HostTensor>> {
    return Object.fromEntries(names.map((name) => [name, copyOf(this.#require(name).host)]))
  }

  async write(tensors: Readonly<Record<string, HostTensor>>): Promise<void> {
    for (const [name, t] of Object.entries(tensors)) {
      const { host } = this.#require(name)
      expectTensor(t, host, name, 'state')
      ;(host.data as Float32Array).set(t.data as Float32Array)
    }
  }

  async change(
    names: readonly string[],
    work: (tensors: readonly HostTensor[]) => Promise<void>,
  ): Promise<void> {
    await work(names.map((name) => this.#require(name).host))
  }

  async dispose(): Promise<void> {
    for (const tensor of [...this.#current.values(), ...this.#spare.values()]) tensor.release()
    this.#current.clear()
    this.#spare.clear()
  }

  #require(name: string): NativeTensor {
    const tensor = this.#current.get(name)
    if (tensor === undefined) throw unknownName(name, this.names)
    return tensor
  }
}

/** A program compiled for the CPU. */
export class CpuExecutable implements Executable {
  readonly #program: Program
  readonly #model: OnnxModel
  readonly #updates: Readonly<Record<string, string>>
  readonly #enqueue: Enqueue
  readonly #profiling: Profiling | null
  readonly #session: NativeSession
  readonly traffic: Traffic = { toDevice: 0, toHost: 0 }
  readonly #inPlace: ReadonlySet<string>

  /** @throws one sentence naming the op and the model path when ONNX Runtime refuses the model. */
  constructor(
    program: Program,
    model: OnnxModel,
    options: {
      readonly threads: number
      readonly updates: Readonly<Record<string, string>>
      readonly profile: boolean
      readonly enqueue: Enqueue
    },
  ) {
    this.#program = program
    this.#model = model
    this.#updates = options.updates
    this.#enqueue = options.enqueue
    this.#profiling = options.profile ? startProfiling() : null
    try {
      this.#session = new NativeSession(model.bytes, options.threads, this.#profiling?.prefix ?? null)
    } catch (cause) {
      throw explainRunError(program, model, cause as Error)
    }
    this.#inPlace = updatedInPlace(program, options.updates)
  }

  run(feeds: Readonly<Record<string, HostTensor>>, state?: DeviceState): Promise<Record<string, HostTensor>> {
    return this.#enqueue(async () => this.#runNow(feeds, state as CpuState | undefined))
  }

  #runNow(
    feeds: Readonly<Record<string, HostTensor>>,
    state: CpuState | undefined,
  ): Record<string, HostTensor> {
    const made: NativeTensor[] = []
    const wrap = (tensor: HostTensor): NativeTensor => {
      made.push(new NativeTensor(tensor))
      return made.at(-1)!
    }
    try {
      const held = (name: string): NativeTensor | undefined => state?.tensor(name)
      expectHeld(this.#program, this.#updates, held)
      const inputs = gatherInputs(this.#program, this.#model, feeds, held, wrap)
      const targets = new Map<string, NativeTensor>()
      for (const [name, output] of Object.entries(this.#updates)) {
        targets.set(output, state!.target(name, this.#inPlace.has(name)))
      }
      const returned: Record<string, HostTensor> = {}
      for (const [output, { shape, dtype }] of Object.entries(this.#program.outputs)) {
        if (targets.has(output)) continue
        returned[output] = zeros(shape, dtype)
        targets.set(output, wrap(returned[output]))
      }
      const outputs = new Map([...targets].map(([output, tensor]) => [this.#model.outputs[output], tensor]))
      try {
        this.#session.run(inputs, outputs)
      } catch (cause) {
        throw explainRunError(this.#program, this.#model, cause as Error)
      }
      for (const name of Object.keys(this.#updates)) if (!this.#inPlace.has(name)) state!.swap(name)
      return returned
    } finally {
      for (const tensor of made) tensor.release()
    }
  }

  profile(): Promise<readonly KernelTime[]> {
    return this.#enqueue(async () =>
      readProfile(this.#program, this.#model, this.#profiling, () => this.#session.endProfiling()),
    )
  }

  dispose(): Promise<void> {
    return this.#enqueue(async () => this.#session.release())
  }
}
