/** @file The number by which images are assigned to training or validation. */

import { createHash } from 'node:crypto'

/** Position of a text in [0, 1), evenly spread: the first 32 bits of its SHA-1. */
export const hashFraction = (text: string): number =>
  createHash('sha1').update(text).digest().readUInt32BE(0) / 2 ** 32
