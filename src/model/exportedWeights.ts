/**
 * @file The weights of an exported run: averages in half precision, with checksums of every tensor in the file's metadata,
 * which other readers of safetensors pass over.
 */
import { z } from 'zod'
import { halved, widened } from '../engine/host/float16.ts'
import { type HostTensor, isFiniteTensor } from '../engine/host/tensor.ts'
import { parseChecked } from '../stored/checkedJson.ts'
import { type Checksums, checksumsOf, expectNames, expectUnchanged } from '../stored/checksums.ts'
import { type ByteSource, encodeSafetensors, headerIn, tensorsIn } from '../stored/safetensors.ts'
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

/** The bytes of a file of weights in half precision with their checksums, in pieces. @param name the file's, for messages */
export const encodeWeights = (name: string, halves: Readonly<Record<string, HostTensor>>): Uint8Array[] =>
  encodeSafetensors(name, halves, { format: withChecksums, checksums: JSON.stringify(checksumsOf(halves)) })

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
 * Exported weights in float32.
 * @param name the file's, for messages
 * @param wanted which, by path; all when absent
 * @throws when one is not what was exported, or holds numbers that are not finite.
 */
export const decodeWeights = (
  name: string,
  source: ByteSource,
  wanted: (path: string) => boolean = () => true,
): Weights => {
  const { entries, metadata } = headerIn(name, source)
  const checksums = checksumsIn(name, metadata)
  if (checksums !== null) expectNames(name, entries.keys(), checksums)
  const { tensors } = tensorsIn(name, source, wanted)
  if (checksums !== null) expectUnchanged(name, tensors, checksums)
  return Object.fromEntries(
    Object.entries(tensors).map(([path, tensor]) => {
      if (isFiniteTensor(tensor)) return [path, widened(tensor)]
      throw new Error(`${name}: tensor "${path}" holds numbers that are not finite; ${remedy}`)
    }),
  )
}
