/** @file Whether a program's tensors fit a device, said before the device fails on them. */
import { showType } from '../host/tensor.ts'
import { bytesOf, largestValue } from '../ir/cost.ts'
import type { Value } from '../ir/graph.ts'
import type { Program } from '../ir/program.ts'
import type { DeviceLimits } from './runtime.ts'

/** A number of bytes for messages: exact where it is no whole number of MiB, so that no limit reads like what exceeds it. */
export const showMebibytes = (bytes: number): string =>
  bytes % 2 ** 20 === 0 ? `${bytes / 2 ** 20} MiB` : `${(bytes / 2 ** 20).toFixed(6).replace(/0+$/, '')} MiB`

/** What makes tensors smaller, as the end of a sentence. */
export const waysToFit = 'use smaller batches (in training train.accumulate, too), images or widths'

/** Whose limit it is, as the subject of a sentence. */
export const showDevice = ({ adapter }: DeviceLimits): string =>
  adapter === null ? 'WebGPU by its specification' : `the adapter '${adapter}'`

/** A tensor by its op and model path, or as the input that it is, with its type. */
export const showValue = (v: Value): string => {
  if (v.node === null) return `input '${v.name}' (${showType(v)})`
  const { op, scope } = v.node
  return `${op.name}${scope === '' ? '' : ` at ${scope}`} (${showType(v)})`
}

/** The largest tensor of some programs that a device does not take; null where all fit. */
export const tooLarge = (programs: readonly Program[], { tensorBytes }: DeviceLimits): Value | null => {
  const all = programs.map(largestValue).filter((v) => v !== null)
  const above = all.filter((v) => bytesOf(v) > tensorBytes).sort((a, b) => bytesOf(b) - bytesOf(a))
  return above[0] ?? null
}

/** A tensor exceeds what a device takes. */
export class DeviceLimitError extends Error {}

/** @throws DeviceLimitError, one sentence, when a tensor of the program exceeds what the device is known to take. */
export const expectFits = (program: Program, limits: DeviceLimits | null): void => {
  if (limits === null || limits.adapter === null) return
  const value = tooLarge([program], limits)
  if (value === null) return
  throw new DeviceLimitError(
    `program ${program.name}: its largest tensor, ${showValue(value)}, takes ${showMebibytes(bytesOf(value))}, but ` +
      `${showDevice(limits)} takes ${showMebibytes(limits.tensorBytes)} at most; ${waysToFit}`,
  )
}
