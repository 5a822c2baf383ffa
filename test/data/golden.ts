/** @file The images of the golden data sets (tools/data_golden.py) and tars of them, for the data tests. */

import { execFile } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import sharp from 'sharp'
import { writeFiles } from './temporary.ts'

/** Where the files of a golden set lie. */
export const goldenData = (...parts: string[]): string =>
  path.join(fileURLToPath(new URL('../golden/data', import.meta.url)), ...parts)

/** Class names; image i is of class i mod 3. */
export const goldenNames: readonly string[] = ['ant', 'bee', 'cat']

/** Picture i as [side, side, channels]. */
export const goldenImage = (i: number, side = 8, channels = 3): Uint8Array =>
  Uint8Array.from({ length: side * side * channels }, (_, at) => {
    const [y, x, c] = [Math.floor(at / (side * channels)), Math.floor(at / channels) % side, at % channels]
    return (37 * i + 11 * y + 5 * x + 83 * c) % 256
  })

/** Picture i as PNG. */
export const goldenPng = (i: number): Promise<Buffer> =>
  sharp(goldenImage(i), { raw: { width: 8, height: 8, channels: 3 } })
    .png()
    .toBuffer()

/** Packs files of a folder with GNU tar, in the given order. */
export const tar = async (
  folder: string,
  out: string,
  members: readonly string[],
  format: 'gnu' | 'pax' | 'ustar' = 'gnu',
): Promise<void> => {
  await promisify(execFile)('tar', [`--format=${format}`, '-cf', out, '-C', folder, ...members])
}

/**
 * Shards train-0.tar, train-1.tar and val-0.tar of 12, 12 and 6 images: numbers as .cls and captions as .txt in
 * the first, both in .json in the others.
 */
export const writeShards = async (folder: string): Promise<void> => {
  const loose = `${folder}-loose`
  const shards = [
    { name: 'train-0.tar', from: 0, count: 12, format: 'gnu' },
    { name: 'train-1.tar', from: 12, count: 12, format: 'pax' },
    { name: 'val-0.tar', from: 24, count: 6, format: 'ustar' },
  ] as const
  for (const { name, from, count, format } of shards) {
    const members: string[] = []
    for (let i = from; i < from + count; i++) {
      const key = `${name}.d/${String(i).padStart(6, '0')}`
      const files: Record<string, Buffer | string> = { [`${key}.png`]: await goldenPng(i) }
      if (from === 0) {
        files[`${key}.cls`] = `${i % 3}\n`
        files[`${key}.txt`] = `image ${i}\n`
      } else files[`${key}.json`] = JSON.stringify({ label: i % 3, caption: `image ${i}` })
      await writeFiles(loose, files)
      members.push(...Object.keys(files))
    }
    await writeFiles(folder, { 'classnames.txt': `${goldenNames.join('\n')}\n` })
    await tar(loose, path.join(folder, name), members, format)
  }
}
