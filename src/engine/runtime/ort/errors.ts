/** @file Turns ONNX Runtime's messages into one sentence that names the op, the shapes and the model path. */
import { showShape } from '../../host/tensor.ts'
import type { Program } from '../../ir/program.ts'
import type { OnnxModel } from '../../onnx/serialize.ts'
import { DeviceError } from '../deviceError.ts'
import { showMebibytes, waysToFit } from '../limits.ts'
import type { OrtDevice } from './library.ts'

/**
 * The error to show when memory has run out, of the host or a device; null when something else failed.
 * @param owner the program or state that wanted it
 */
export const explainMemoryError = (owner: string, cause: Error): Error | null => {
  const known = /requested buffer of size (\d+)|smaller than requested bytes of (\d+)/.exec(cause.message)
  const bytes = known?.[1] ?? known?.[2]
  if (bytes === undefined && !/bad_?alloc|CUDA failure 2:/.test(cause.message)) return null
  const wanted = bytes === undefined ? 'more' : `another ${(Number(bytes) / 2 ** 20).toFixed(0)} MiB`
  return new Error(
    `${owner}: there is no memory for ${wanted}; use smaller batches, or free some ('ul info' says how much training takes)`,
    { cause },
  )
}

/** The error to show for a failed session creation or run. */
export const explainRunError = (program: Program, model: OnnxModel, cause: Error): Error => {
  if (cause instanceof DeviceError) return cause
  if (/requires f16/.test(cause.message)) {
    return new Error(
      `program ${program.name}: this GPU or its driver has no half precision arithmetic (shader-f16); leave --compute at float32`,
      { cause },
    )
  }
  const [, asked, most] = /Buffer size \((\d+)\) exceeds .* limit \((\d+)\)/.exec(cause.message) ?? []
  if (asked !== undefined) {
    return new Error(
      `program ${program.name}: a tensor takes ${showMebibytes(Number(asked))}, but this device takes ${showMebibytes(Number(most))} at most; ${waysToFit}`,
      { cause },
    )
  }
  const memory = explainMemoryError(`program ${program.name}`, cause)
  if (memory !== null) return memory
  const named = [...cause.message.matchAll(/[Nn]ame:\s*'([^']+)'|[Nn]ode\s*\(([^)]+)\)/g)]
  for (const [, quoted, bracketed] of named) {
    const node = model.origin.get(quoted ?? bracketed ?? '')
    if (node === undefined) continue
    const shapes = node.inputs.map((v) => `${v.dtype}${showShape(v.shape)}`).join(', ')
    const place = node.scope === '' ? '' : ` at ${node.scope}`
    return new Error(
      `program ${program.name}: ${node.op.name}${place} failed on inputs ${shapes}: ${cause.message.trim()}`,
      { cause },
    )
  }
  return new Error(`program ${program.name}: ONNX Runtime failed: ${cause.message.trim()}`, { cause })
}

/** The error to show when a device's provider does not start. */
export const explainDeviceError = (
  { device, advice }: Pick<OrtDevice, 'device' | 'advice'>,
  cause: unknown,
): Error => {
  if (cause instanceof DeviceError) return cause
  // A library in WebAssembly also throws what is no error, such as the address of one.
  const said = cause instanceof Error ? cause.message : `it says no more than ${cause}`
  // ONNX Runtime puts its source file and the failed assertion, or the number of its status, in front of the reason.
  const reason = said.replace(/^\/.*( was false\. |\[ONNXRuntimeError\] : \d+ : \w+ : )/s, '').trim()
  return new DeviceError(device, `ONNX Runtime could not start it (${reason.slice(0, 300)})`, advice, {
    cause,
  })
}
