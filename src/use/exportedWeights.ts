/**
 * @file The weights of an exported run: averages in half precision, with checksums of every tensor in the file's metadata,
 * which other readers of safetensors pass over.
 */
import { z } from 'zod'
import { halved, widened } from '../engine/host/float16.ts'
import { type HostTensor, isFiniteTensor } from '../engine/host/tensor.ts'
import { type Checksums, checksumsOf, expectNames, expectUnchanged } from '../files/checksums.ts'
import { nativeSha256 } from '../files/nativeHash.ts'
import { inspectSafetensors, readSafetensors, writeSafetensors } from '../files/safetensors.ts'
import { parseChecked } from '../runs/checked.ts'
import type { Weights } from '../train/frozen.ts'

/** What `format` says in files with checksums, and in those of older versions. */
const [withChecksums, without] = ['unified-latents 2', 'unified-latents']

const remedy = "export the run again with 'ul export'"

/** Half-precision weights in float32. @throws naming the first that is too large for half precision, or not finite */
export const halvedWeights = (dir: string, weights: Weights): Readonly<Record<string, HostTensor>> =>
  Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => {
      const half = halved(tensor)
      if (isFiniteTensor(half)) return [name, half]
      throw new Error(
        `${dir}: its '${name}' has numbers beyond half precision (65504); it cannot be exported`,
      )
    }),
  )

/** Writes weights in half precision, and their checksums. */
export const writeExportedWeights = (path: string, halves: Readonly<Record<string, HostTensor>>): void =>
  writeSafetensors(path, halves, {
    format: withChecksums,
    checksums: JSON.stringify(checksumsOf(halves, nativeSha256)),
  })

/** The checksums in a file; null in one of an older version. @throws when it is neither */
const checksumsIn = (
  path: string,
  { format, checksums }: Readonly<Record<string, string>>,
): Checksums | null => {
  if (format === without && checksums === undefined) return null
  if (format !== withChecksums)
    throw new Error(
      `${path}: it says format ${JSON.stringify(format)}, expected "${withChecksums}"; ${remedy}`,
    )
  return parseChecked(z.record(z.string(), z.string()), checksums ?? '', `${path}: checksums`, remedy)
}

/**
 * Reads exported weights in float32.
 * @param wanted which, by name
 * @throws when one is not what was exported, or holds numbers that are not finite.
 */
export const readExportedWeights = (path: string, wanted: (name: string) => boolean): Weights => {
  const { entries, metadata } = inspectSafetensors(path)
  const checksums = checksumsIn(path, metadata)
  if (checksums !== null) expectNames(path, entries.keys(), checksums)
  const { tensors } = readSafetensors(path, wanted)
  if (checksums !== null) expectUnchanged(path, tensors, checksums, nativeSha256)
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => {
      if (isFiniteTensor(tensor)) return [name, widened(tensor)]
      throw new Error(`${path}: tensor "${name}" holds numbers that are not finite; ${remedy}`)
    }),
  )
}
