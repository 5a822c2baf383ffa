/** @file Data that asks for far more than it is: refused in one sentence, within seconds and without the memory. */
import { truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { deflateRawSync } from 'node:zlib'
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { openData } from '../../src/data/open.ts'
import { npy } from './arrays.ts'
import { temporaryFolder } from './temporary.ts'

/** The sentence with which a file is refused, within five seconds and without another 1 GiB. */
const refusal = async (source: string, file: string): Promise<string> => {
  const [start, before] = [performance.now(), process.memoryUsage.rss()]
  const opened = openData({ source, path: file, size: 16, cacheDir: path.dirname(file) })
  const message = await opened.then(
    () => 'was taken',
    (error: Error) => error.message,
  )
  expect(performance.now() - start).toBeLessThan(5000)
  expect(process.memoryUsage.rss() - before).toBeLessThan(2 ** 30)
  return message
}

const images = npy('|u1', '(2, 4, 4)', new Uint8Array(32))

test.each(['|S0', '<U0', '|V0', '|u0'])('labels of no size by the billion (%s)', async (descr) => {
  const folder = await temporaryFolder()
  await writeFile(path.join(folder, 'images.npy'), images)
  await writeFile(path.join(folder, 'labels.npy'), npy(descr, '(1000000000000,)'))
  expect(await refusal('npy', path.join(folder, 'images.npy'))).toMatch(
    /labels\.npy: byte 10: found entries of no size \(\w0\), expected at least one byte; save an array/,
  )
})

test('more images than can be numbered', async () => {
  const file = path.join(await temporaryFolder(), 'images.npy')
  await writeFile(file, npy('|u1', '(400000000, 1, 1)'))
  await truncate(file, 400_000_000 + npy('|u1', '(400000000, 1, 1)').length)
  expect(await refusal('npy', file)).toMatch(
    /images\.npy: byte 0: found 400000000 images, expected 16777216 at most; check that it is a set of images/,
  )
})

/** A zip of members of one deflated content, all of which lie at the same place. */
const overlapping = (members: number, unpacked: number): Buffer => {
  const packed = deflateRawSync(Buffer.alloc(unpacked))
  const local = Buffer.alloc(30)
  local.writeUInt32LE(0x04034b50)
  const entries = Array.from({ length: members }, (_, i) => {
    const name = Buffer.from(`${i}.npy`)
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50)
    entry.writeUInt16LE(8, 10)
    entry.writeUInt32LE(packed.length, 20)
    entry.writeUInt32LE(unpacked, 24)
    entry.writeUInt16LE(name.length, 28)
    return Buffer.concat([entry, name])
  })
  const directory = Buffer.concat(entries)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(local.length + packed.length, 16)
  return Buffer.concat([local, packed, directory, end])
}

test.each([
  ['by the hundred thousand', 100_000, 10, /found 100000 members, expected 4096 at most; save the arrays in/],
  [
    'that lie over each other',
    100,
    2 ** 24,
    /found members that unpack to 1677721600 bytes, expected 1073741824/,
  ],
])('members of an .npz %s', async (_, members, unpacked, sentence) => {
  const file = path.join(await temporaryFolder(), 'images.npz')
  await writeFile(file, overlapping(members, unpacked))
  expect(await refusal('npy', file)).toMatch(sentence)
})

test('an interlaced giant, while one in lines of the same size is read', async () => {
  const folder = await temporaryFolder()
  const giant = sharp({ create: { width: 8300, height: 8300, channels: 3, background: 'red' } })
  await giant.clone().png({ progressive: true, compressionLevel: 1 }).toFile(path.join(folder, 'a.png'))
  expect(await refusal('folder', folder)).toMatch(
    /its only image cannot be decoded \(first: a\.png: has 8300×8300 pixels, more than the 67108864 that an interlaced or progressive image may have; save it smaller, or as a plain PNG or JPEG\)/,
  )
  await giant.clone().png({ compressionLevel: 1 }).toFile(path.join(folder, 'b.png'))
  const { train, skipped } = await openData({ source: 'folder', path: folder, size: 4, cacheDir: folder })
  expect([train.count, skipped.length]).toEqual([1, 1])
  expect([...(await train.read([0])).subarray(0, 3)]).toEqual([255, 0, 0])
})
