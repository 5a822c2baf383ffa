/**
 * @file Why something is no image, told from its own first bytes. libvips keeps one text of errors for all its threads, so what
 * it says of a file may be about another that is decoded at the same time.
 */

import { open, stat } from 'node:fs/promises'
import { packedKind } from './archives.ts'
import { IMAGE_FORMATS, specialKind } from './scan.ts'

/** Bytes that a kind is told by. */
const HEAD = 512

/** Kinds by how they begin: those that are read first, and then what takes their names. */
const KINDS: readonly (readonly [words: string, start: RegExp, isRead?: true])[] = [
  ['PNG', /^\x89PNG/, true],
  ['JPEG', /^\xff\xd8\xff/, true],
  ['WebP', /^RIFF[\s\S]{4}WEBP/, true],
  ['AVIF', /^[\s\S]{4}ftyp(avif|avis)/, true],
  ['GIF', /^GIF8/, true],
  ['TIFF', /^(II\*\0|MM\0\*|II\+\0|MM\0\+)/, true],
  ['HEIC', /^[\s\S]{4}ftyp(heic|heix|hevc|mif1|msf1)/],
  ['BMP', /^BM/],
  ['JPEG 2000', /^([\s\S]{4}jP {2}|\xff\x4f\xff\x51)/],
  ['JPEG XL', /^(\xff\n|[\s\S]{4}JXL )/],
  ['Photoshop', /^8BPS/],
  ['PDF', /^%PDF/],
  ['web page (HTML)', /^\s*(<!doctype html|<html|<\?xml[\s\S]*<html)/i],
  ['SVG', /^\s*(<\?xml[\s\S]*)?<svg/i],
  ['Git LFS pointer', /^version https:\/\/git-lfs/],
]

/** What an image is read from. */
type Encoded = string | Uint8Array

const headOf = async (input: Encoded): Promise<Uint8Array> => {
  if (typeof input !== 'string') return input.subarray(0, HEAD)
  const file = await open(input, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Why a path cannot be an image, without opening it: a pipe would never end. Null when it may be one. */
export const pathFault = async (file: string): Promise<string | null> => {
  try {
    const info = await stat(file)
    if (info.isFile()) return info.size === 0 ? 'is empty' : null
    return `is a ${specialKind(info) ?? 'folder'}`
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' ? 'is missing' : `cannot be read (${code})`
  }
}

/** Libvips' own refusal of images beyond its limit, which is told of the right one. */
const TOO_LARGE = /exceeds pixel limit/

/** Why an image could not be decoded. @param error what the decoder threw */
export const faultOf = async (input: Encoded, error: unknown): Promise<string> => {
  if (error instanceof Error && TOO_LARGE.test(error.message)) return 'has more pixels than can be decoded'
  try {
    const head = await headOf(input)
    if (head.length === 0) return 'is empty'
    const text = Buffer.from(head).toString('latin1')
    const kind = KINDS.find(([, start]) => start.test(text))
    const packed = packedKind(head)
    if (packed !== null) return `is packed by ${packed}`
    if (kind === undefined) return `is no image (${IMAGE_FORMATS})`
    const [words, , isRead] = kind
    return isRead ? `is a damaged or cut-off ${words}` : `is a file of another kind (${words})`
  } catch (error) {
    return `cannot be read (${(error as NodeJS.ErrnoException).code ?? error})`
  }
}
