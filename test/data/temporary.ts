/** @file Temporary folders and small images for the data tests. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import sharp, { type Sharp } from 'sharp'
import { afterAll } from 'vitest'

/** A colour as [r, g, b], 0..255. */
export type Rgb = readonly [number, number, number]

/** A new folder, removed when the test file ends. */
export const temporaryFolder = async (): Promise<string> => {
  const folder = await mkdtemp(path.join(tmpdir(), 'unified-latents-data-'))
  afterAll(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A sharp image whose pixel (x, y) is `at(x, y)`. */
export const image = (width: number, height: number, at: (x: number, y: number) => Rgb): Sharp => {
  const data = new Uint8Array(width * height * 3)
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data.set(at(x, y), (y * width + x) * 3)
  return sharp(data, { raw: { width, height, channels: 3 } })
}

/** Writes files under a folder, making subfolders. */
export const writeFiles = async (
  folder: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> => {
  for (const [name, bytes] of Object.entries(files)) {
    const file = path.join(folder, name)
    await mkdir(path.dirname(file), { recursive: true })
    await writeFile(file, bytes)
  }
}

/** A one-colour 8×8 PNG. */
export const flatPng = (color: Rgb): Promise<Buffer> =>
  image(8, 8, () => color)
    .png()
    .toBuffer()
