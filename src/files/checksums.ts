/**
 * @file Checksums of tensors and of small records, so that what was saved is known again. SHA-256 because every machine has
 * it in hardware or near to it (Node's: 1.8 GB/s on one core, as fast as the file is read), and anybody can compute it.
 */
import { type Hash, sha256 } from '../engine/host/sha256.ts'
import { type HostTensor, showShape } from '../engine/host/tensor.ts'
import { bytesOf, dtypeNames } from './safetensorsHeader.ts'

/** Checksums by the names of tensors. */
export type Checksums = Readonly<Record<string, string>>

/** 64 bits: chance, not an opponent, is what changes a file. */
const digits = 16

/** Begins a SHA-256: Node's own (nativeSha256) where there is Node. */
export type NewHash = () => Hash

const checksumOf = (newHash: NewHash, ...parts: readonly (string | Uint8Array)[]): string => {
  const hash = newHash()
  for (const part of parts) hash.update(part)
  return hash.digest('hex').slice(0, digits)
}

/** Checksum of a text. */
export const textChecksum = (text: string): string => checksumOf(sha256, text)

const tensorChecksum = (newHash: NewHash, tensor: HostTensor): string =>
  checksumOf(newHash, `${dtypeNames[tensor.dtype]}${showShape(tensor.shape)}`, bytesOf(tensor))

/** Checksums of type, shape and values. */
export const checksumsOf = (
  tensors: Readonly<Record<string, HostTensor>>,
  newHash: NewHash = sha256,
): Checksums =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensorChecksum(newHash, tensor)]))

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
  newHash: NewHash = sha256,
): void => {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensorChecksum(newHash, tensor) === checksums[name]) continue
    throw new Error(
      `${path}: tensor "${name}" is not what was saved (its checksum differs); the file is damaged`,
    )
  }
}
