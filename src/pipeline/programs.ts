/** @file Programs of fixed batch size run over any number of examples: the last batch is padded and cut. */
import { float32, type HostTensor, type Shape } from '../host/tensor.ts'

/**
 * Runs `body` on batches of exactly `batch` examples and joins the results.
 * @param count number of examples
 * @param body given the first example's index and how many of the batch are real; returns the batch's result
 */
export const inBatches = async (
  count: number,
  batch: number,
  body: (first: number, real: number) => Promise<Float32Array>,
): Promise<Float32Array> => {
  const parts: Float32Array[] = []
  for (let first = 0; first < count; first += batch) {
    const real = Math.min(batch, count - first)
    const result = await body(first, real)
    parts.push(result.subarray(0, (result.length / batch) * real))
  }
  const joined = new Float32Array(parts.reduce((n, p) => n + p.length, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}

/** Examples [first, first+B) of `data`, zero where there are none left. */
export const batchOf = (data: Float32Array, shape: Shape, first: number): HostTensor => {
  const each = shape.slice(1).reduce((n, d) => n * d, 1)
  const out = new Float32Array(shape[0]! * each)
  out.set(data.subarray(first * each, Math.min(data.length, (first + shape[0]!) * each)))
  return float32(shape, out)
}
