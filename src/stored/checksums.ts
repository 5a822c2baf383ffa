/**
 * @file Checksums of tensors and of small records, so that what was saved is known again. SHA-256 because every machine has
 * it in hardware or near to it (1.8 GB/s on one core, as fast as the file is read), and anybody can compute it.
 */
import { type HostTensor, showShape } from '../engine/host/tensor.ts'
import { bytesOf, dtypeNames } from './safetensorsHeader.ts'
import { sha256 } from './sha256.ts'

/** Checksums by the names of tensors. */
export type Checksums = Readonly<Record<string, string>>

/** 64 bits: chance, not an opponent, is what changes a file. */
const digits = 16

const checksumOf = (...parts: readonly (string | Uint8Array)[]): string => sha256(...parts).slice(0, digits)

/** Checksum of a text. */
export const textChecksum = (text: string): string => checksumOf(text)

const tensorChecksum = (tensor: HostTensor): string =>
  checksumOf(`${dtypeNames[tensor.dtype]}${showShape(tensor.shape)}`, bytesOf(tensor))

/** Checksums of type, shape and values. */
export const checksumsOf = (tensors: Readonly<Record<string, HostTensor>>): Checksums =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensorChecksum(tensor)]))

/** @throws naming the file and the first tensor that has no checksum, or is missing where there is one. */
export const expectNames = (path: string, names: Iterable<string>, checksums: Checksums): void => {
  const left = new Set(Object.keys(checksums))
  for (const name of names) {
    if (!left.delete(name))
      throw new Error(`${path}: tensor "${name}" was never saved there; the file is damaged`)
  }
  for (const name of left) throw new Error(`${path}: tensor "${name}" is missing; the file is damaged`)
}

/** @throws naming the file and the first tensor that is not what was saved. */
export const expectUnchanged = (
  path: string,
  tensors: Readonly<Record<string, HostTensor>>,
  checksums: Checksums,
): void => {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensorChecksum(tensor) === checksums[name]) continue
    throw new Error(
      `${path}: tensor "${name}" is not what was saved (its checksum differs); the file is damaged`,
    )
  }
}
