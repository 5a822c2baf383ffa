/** @file Node's SHA-256, in the machine's own instructions where it has them. */
import { createHash } from 'node:crypto'
import type { NewHash } from './checksums.ts'

/** Begins one. */
export const nativeSha256: NewHash = () => createHash('sha256')
