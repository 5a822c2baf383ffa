/** @file An image source whose images lie decoded in memory. */

import { type ImageSource, sourceFingerprint } from './source.ts'

/** One image of a source and its row among the decoded. */
export interface PackedMember {
  readonly row: number
  readonly id: string
  readonly caption: string
  /** Class index, −1 without classes. */
  readonly label: number
}

/** A part of decoded images seen as a source. */
export interface PackedSourceOptions {
  readonly name: string
  /** [rows, size, size, 3] */
  readonly pixels: Uint8Array
  /** Changes whenever the files change. */
  readonly fingerprint: string
  /** Height and width in pixels. */
  readonly size: number
  readonly classes: readonly string[]
  readonly members: readonly PackedMember[]
}

/**
 * A source over chosen rows of decoded images; the bytes stay shared with them.
 * Its `read` rejects when an index is not one of the source's.
 */
export const packedSource = ({
  name,
  pixels,
  fingerprint,
  size,
  classes,
  members,
}: PackedSourceOptions): ImageSource => {
  const bytes = size * size * 3
  return {
    name,
    count: members.length,
    size,
    fingerprint: sourceFingerprint(name, fingerprint, size, members),
    classes,
    label: (index) => members[index].label,
    caption: (index) => members[index].caption,
    id: (index) => members[index].id,
    read: async (indices) => {
      const out = new Uint8Array(indices.length * bytes)
      indices.forEach((index, i) => {
        const member = members[index]
        if (!member) throw new Error(`${name}: no image ${index}; pass 0 to ${members.length - 1}`)
        out.set(pixels.subarray(member.row * bytes, (member.row + 1) * bytes), i * bytes)
      })
      return out
    },
  }
}
