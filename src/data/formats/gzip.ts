/** @file Compressed data, unpacked in memory only as far as their own header says and never beyond a limit. */

import { createReadStream } from 'node:fs'
import type { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { type Bytes, bytesInMemory, damaged, openBytes } from './bytes.ts'

/** Most bytes that a compressed file may hold: 1 GiB. */
export const UNPACKED_BYTES: number = 2 ** 30

/** More than deflate can gain: 1,032 to 1. */
const MOST_GAIN = 1032

/** Most bytes that so many compressed ones can and may unpack to. */
export const mostUnpacked = (packed: number): number => Math.min(UNPACKED_BYTES, (packed + 64) * MOST_GAIN)

/**
 * Unpacks at most `limit` bytes of what a stream gives, straight into one array of that size; `complete` says whether that was
 * all and the checksum, where there is one, fitted.
 */
export const unpack = async (
  packed: Readable,
  unzip: Transform,
  limit: number,
): Promise<{ readonly data: Uint8Array; readonly complete: boolean }> => {
  const out = new Uint8Array(limit)
  let length = 0
  let complete = true
  await pipeline(packed, unzip, async (source: AsyncIterable<Uint8Array>) => {
    for await (const chunk of source) {
      complete = length + chunk.length <= limit
      out.set(complete ? chunk : chunk.subarray(0, limit - length), length)
      length = Math.min(limit, length + chunk.length)
      if (!complete) return
    }
  }).catch((error: unknown) => {
    // leaving the loop early ends the pipeline, which is no fault
    if (complete) throw error
  })
  return { data: out.subarray(0, length), complete }
}

/**
 * A file, unpacked into memory when its contents begin like gzip. `sizeOf` tells from the first `lead` unpacked bytes
 * how many there should be; no more than that, and one to notice a surplus, are unpacked.
 * @throws in one sentence when the file is missing, damaged, or unpacks to more than it can or may.
 */
export const openMaybeGzipped = async (
  file: string,
  lead: number,
  sizeOf: (head: Uint8Array) => number,
): Promise<Bytes> => {
  const packed = await openBytes(file)
  const magic = await packed.read(0, Math.min(2, packed.size))
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) return packed
  const name = `${file} (unpacked)`
  const faulty = (error: unknown): never => {
    const reason = error instanceof Error ? error.message : String(error)
    throw damaged(packed, {
      offset: packed.size,
      found: `gzip data that ends in a fault (${reason})`,
      expected: 'an intact gzip file',
    })
  }
  const { data: head } = await unpack(createReadStream(file), createGunzip(), lead).catch(faulty)
  const size = sizeOf(head)
  const most = mostUnpacked(packed.size)
  if (size > most) {
    throw damaged(
      { name },
      {
        offset: 0,
        found: `a header that asks for ${size} bytes`,
        expected: `no more than ${most}, which is what so small a file or the memory can hold`,
        todo: 'unpack the file with gunzip first, or copy it again',
      },
    )
  }
  const { data, complete } = await unpack(createReadStream(file), createGunzip(), size).catch(faulty)
  if (!complete) {
    throw damaged(
      { name },
      { offset: size, found: 'more bytes', expected: `the end, after the ${size} that its header asks for` },
    )
  }
  return bytesInMemory(name, data)
}
