/**
 * @file Runs captured as CUDA graphs, one for each set of tensors that they read and write: state that takes turns between
 * two buffers has two. Providers without graphs ignore what is said here.
 */
import type { Held } from './memory.ts'
import type { NativeTensor } from './nativeTensor.ts'
import { type NativeSession, RunOptions } from './session.ts'

type Tensors = ReadonlyMap<string, NativeTensor>

/** The captured runs of one session. */
export class CapturedRuns {
  readonly #session: Pick<NativeSession, 'run'>
  readonly #captured = new Map<string, RunOptions>()

  constructor(session: Pick<NativeSession, 'run'>) {
    this.#session = session
  }

  /** @param overwritten inputs that the run writes over */
  run(inputs: Tensors, outputs: Tensors, overwritten: readonly Held[]): void {
    const key = [...inputs.values(), ...outputs.values()].map(({ id }) => id).join()
    if (!this.#captured.has(key)) this.#capture(key, inputs, outputs, overwritten)
    this.#session.run(inputs, outputs, this.#captured.get(key))
  }

  release(): void {
    for (const options of this.#captured.values()) options.release()
    this.#captured.clear()
  }

  /** ONNX Runtime computes a run several times to capture it: what it writes over is put back after that. */
  #capture(key: string, inputs: Tensors, outputs: Tensors, overwritten: readonly Held[]): void {
    const options = new RunOptions({ gpu_graph_id: String(this.#captured.size + 1) })
    const before = overwritten.map((tensor) => tensor.read())
    try {
      this.#session.run(inputs, outputs, options)
      this.#captured.set(key, options)
    } catch (cause) {
      options.release()
      throw cause
    } finally {
      for (const [i, tensor] of overwritten.entries()) tensor.write(before[i])
    }
  }
}
