/**
 * @file SHA-256 of bytes at once: by Node where there is one, at 1.8 GB/s, by a library elsewhere. Pages have their own, but only
 * as a promise and only where they are served securely.
 */
import { sha256 as library } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'

/** SHA-256 of parts one after the other without Node, as hexadecimal digits. */
export const portableSha256 = (parts: readonly Uint8Array[]): string => {
  const hash = library.create()
  for (const part of parts) hash.update(part)
  return bytesToHex(hash.digest())
}

/** Asked for in this way so that no page has to find a module that it cannot have. */
const native = globalThis.process?.getBuiltinModule?.('node:crypto')

/** SHA-256 of bytes and of texts in UTF-8, one after the other, as hexadecimal digits. */
export const sha256 = (...parts: readonly (string | Uint8Array)[]): string => {
  if (native === undefined) {
    return portableSha256(parts.map((part) => (typeof part === 'string' ? utf8ToBytes(part) : part)))
  }
  const hash = native.createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}
