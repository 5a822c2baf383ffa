/** @file Host tensors: typed arrays with a shape, and the dtypes that the graph knows. */

/** Element types of graph values. `bool` is stored as one byte. */
export type DType = 'float32' | 'float16' | 'int32' | 'int64' | 'bool'

/** Row-major sizes, outermost first; `[]` is a scalar. */
export type Shape = readonly number[]

/** The typed array that stores a dtype on the host. */
export type HostData = Float32Array | Uint16Array | Int32Array | BigInt64Array | Uint8Array

/** A dense row-major tensor in host memory. */
export interface HostTensor {
  readonly dtype: DType
  readonly shape: Shape
  readonly data: HostData
}

/** Bytes per element. */
export const bytesPerElement: Readonly<Record<DType, number>> = {
  float32: 4,
  float16: 2,
  int32: 4,
  int64: 8,
  bool: 1,
}

/** The numbers by which ONNX, and ONNX Runtime's C API, call element types (onnx.proto, TensorProto.DataType). */
export const onnxElementType: Readonly<Record<DType, number>> = {
  float32: 1,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
}

/** Number of elements of a shape; 1 for a scalar. */
export const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1)

/** Whether two shapes are equal. */
export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i])

/** `[2,3]`, as error messages and graph listings print it. */
export const showShape = (shape: Shape): string => `[${shape.join(',')}]`

/**
 * Wraps float32 data.
 * @throws when the number of elements does not fit the shape.
 */
export const float32 = (shape: Shape, data: Float32Array | readonly number[]): HostTensor => {
  const array = data instanceof Float32Array ? data : Float32Array.from(data)
  if (array.length !== sizeOf(shape)) {
    throw new Error(`tensor: ${array.length} elements do not fill ${showShape(shape)}; pass ${sizeOf(shape)}`)
  }
  return { dtype: 'float32', shape, data: array }
}

/** A float32 scalar. */
export const scalar = (x: number): HostTensor => float32([], [x])

/** An int32 tensor. */
export const int32 = (shape: Shape, data: Int32Array | readonly number[]): HostTensor => ({
  dtype: 'int32',
  shape,
  data: data instanceof Int32Array ? data : Int32Array.from(data),
})

/** Zeros of a dtype. */
export const zeros = (shape: Shape, dtype: DType = 'float32'): HostTensor => {
  const n = sizeOf(shape)
  switch (dtype) {
    case 'float32':
      return { dtype, shape, data: new Float32Array(n) }
    case 'float16':
      return { dtype, shape, data: new Uint16Array(n) }
    case 'int32':
      return { dtype, shape, data: new Int32Array(n) }
    case 'int64':
      return { dtype, shape, data: new BigInt64Array(n) }
    case 'bool':
      return { dtype, shape, data: new Uint8Array(n) }
  }
}

/** The float32 array of a tensor. @throws when it has another dtype. */
export const floats = (tensor: HostTensor): Float32Array => {
  if (tensor.data instanceof Float32Array) return tensor.data
  throw new Error(`tensor: expected float32, found ${tensor.dtype}; cast it in the graph first`)
}

/** A type as messages print it: `float32[2,3]`. */
export const showType = ({ dtype, shape }: Pick<HostTensor, 'dtype' | 'shape'>): string =>
  `${dtype}${showShape(shape)}`

/** Whether all numbers of a tensor are finite. */
export const isFiniteTensor = ({ dtype, data }: HostTensor): boolean => {
  if (dtype === 'float16') return (data as Uint16Array).every((bits) => (bits & 0x7c00) !== 0x7c00)
  if (dtype !== 'float32') return true
  // x · 0 is 0, or NaN where x is not finite: one pass without a branch, several times as fast as asking each number.
  const numbers = data as Float32Array
  let sum = 0
  for (let i = 0; i < numbers.length; i++) sum += numbers[i] * 0
  return sum === 0
}

/** Number of examples: the size of the first axis. */
export const countOf = ({ shape }: HostTensor): number => shape[0] ?? 1

/** Examples `first` to `first + count − 1` along the first axis, as a view. */
export const examplesOf = ({ dtype, shape, data }: HostTensor, first: number, count: number): HostTensor => {
  const each = sizeOf(shape.slice(1))
  return {
    dtype,
    shape: [count, ...shape.slice(1)],
    data: data.subarray(first * each, (first + count) * each),
  }
}

/**
 * Float32 tensors joined along the first axis.
 * @throws when there is none, or their other axes differ.
 */
export const stacked = (parts: readonly HostTensor[]): HostTensor => {
  const [first] = parts
  if (first === undefined) throw new Error('tensor: there is nothing to join; pass at least one tensor')
  const each = first.shape.slice(1)
  const other = parts.find(({ shape }) => !sameShape(shape.slice(1), each))
  if (other !== undefined) {
    throw new Error(
      `tensor: ${showShape(first.shape)} and ${showShape(other.shape)} do not join along their first axis`,
    )
  }
  const count = parts.reduce((n, part) => n + countOf(part), 0)
  return float32([count, ...each], joined(parts.map(floats)))
}

/** B examples of a float32 tensor from `first` on, zero where there are none left. */
export const paddedExamples = (tensor: HostTensor, first: number, B: number): HostTensor => {
  const real = Math.min(B, countOf(tensor) - first)
  if (real === B) return examplesOf(tensor, first, B)
  const padded = zeros([B, ...tensor.shape.slice(1)])
  floats(padded).set(floats(examplesOf(tensor, first, real)))
  return padded
}

/** Arrays one after the other in one. */
export const joined = (parts: readonly Float32Array[]): Float32Array => {
  const all = new Float32Array(parts.reduce((n, p) => n + p.length, 0))
  let offset = 0
  for (const part of parts) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}
