/** @file IEEE 754 half precision on the host, where JavaScript has no array of it. */
import { float32, type HostTensor } from './tensor.ts'

/** The number that 16 bits stand for. */
export const fromHalf = (bits: number): number => {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024))
}

const single = new DataView(new ArrayBuffer(4))

/** The number that 16 bits stand for as bfloat16, the upper half of a float32. */
export const fromBfloat = (bits: number): number => {
  single.setUint32(0, bits << 16)
  return single.getFloat32(0)
}

/** Half of the distance between the largest half and the next power of two: from here on numbers round to infinity. */
const overflow = 65520

/** The 16 bits of the nearest half; ties go to even, as the hardware has it. */
export const toHalf = (x: number): number => {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0
  const size = Math.abs(x)
  if (Number.isNaN(x)) return 0x7e00
  if (size >= overflow) return sign | 0x7c00
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -14)))
  // In units of the last place; a mantissa that rounds up to 2048 carries into the exponent by itself.
  const units = size / 2 ** (exponent - 10)
  const below = Math.floor(units)
  const rest = units - below
  const rounded = rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below
  // Subnormal numbers have no leading one, and their exponent field is 0.
  return rounded < 1024 ? sign | rounded : sign | (((exponent + 14) << 10) + rounded)
}

/** A float32 tensor in half precision. */
export const halved = ({ shape, data }: HostTensor): HostTensor => ({
  dtype: 'float16',
  shape,
  data: Uint16Array.from(data as Float32Array, toHalf),
})

/** A tensor in float32, whichever of the two it came in. */
export const widened = (tensor: HostTensor): HostTensor =>
  tensor.dtype === 'float16'
    ? float32(tensor.shape, Float32Array.from(tensor.data as Uint16Array, fromHalf))
    : tensor
