/**
 * @file The bundled images: 3-D emoji (@lobehub/fluent-emoji-3d) with groups and names from emoji.json, split so
 * that validation shows no look-alike of a training image.
 */

import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { z } from 'zod'
import { type ImageItem, type OnProgress, openPack } from '../images/packed.ts'
import { packedSource } from '../images/packedSource.ts'
import type { DataSplit } from '../images/source.ts'
import { isValidationCluster, lookalikeClusters, motifKey, THUMBNAIL } from './emojiSplit.ts'

const PICTURES = '@lobehub/fluent-emoji-3d'
const NAMES = 'emoji.json'

/** Three flags whose file names lack the final "cancel tag" of their code point sequence. */
const UNTERMINATED_FLAG = /^1f3f4-e0067-.*(?<!-e007f)$/

/** Choices of the bundled set. */
export interface EmojiOptions {
  /** Height and width in pixels; the files have 256. */
  readonly size: number
  /** Whether to include skin-tone variants (1,520 of 3,375 images). Default true. */
  readonly skinTones?: boolean
  readonly cacheDir?: string
  readonly onProgress?: OnProgress
  /** Ends decoding once it is aborted. */
  readonly signal?: AbortSignal
}

/** One emoji image. */
export interface EmojiFile extends ImageItem {
  /** Lower-case hexadecimal code points without leading zeros and without fe0f, joined by `-`. */
  readonly id: string
  readonly codePoints: readonly string[]
  /** Unicode group, for example `Food & Drink`. */
  readonly group: string
  /** English name, for example `red apple`. */
  readonly caption: string
}

const entriesSchema = z.array(z.object({ codes: z.string(), name: z.string(), group: z.string() }))
const versionSchema = z.object({ version: z.string() })

/** `1F9D1-200D_2695-FE0F` → `1f9d1-200d-2695`: one spelling for file names and emoji.json. */
export const normaliseCodePoints = (text: string): string => {
  const codes = text
    .toLowerCase()
    .split(/[-_\s]+/)
    .map((code) => code.replace(/^0+/, ''))
    .filter((code) => code !== 'fe0f')
    .join('-')
  return UNTERMINATED_FLAG.test(codes) ? `${codes}-e007f` : codes
}

/** Folder of an installed package; the same from source and from the bundle, which lies in the same package. */
const packageFolder = (name: string): string => {
  try {
    return path.dirname(createRequire(import.meta.url).resolve(`${name}/package.json`))
  } catch (error) {
    throw new Error(
      `bundled images: package ${name} is not installed; run npm install in the project, or pass a folder of images`,
      { cause: error },
    )
  }
}

const packageVersion = async (folder: string): Promise<string> =>
  versionSchema.parse(JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'))).version

/**
 * All distinct emoji images in order of file name, with the group names in Unicode order.
 * @throws when the packages are not installed or an image has no entry in emoji.json.
 */
export const listEmoji = async (): Promise<{
  readonly files: readonly EmojiFile[]
  readonly groups: readonly string[]
  readonly version: string
}> => {
  const [images, names] = [packageFolder(PICTURES), packageFolder(NAMES)]
  const entries = entriesSchema.parse(JSON.parse(await readFile(path.join(names, 'emoji.json'), 'utf8')))
  const byCode = new Map<string, (typeof entries)[number]>()
  for (const entry of entries) {
    const code = normaliseCodePoints(entry.codes)
    if (!byCode.has(code)) byCode.set(code, entry)
  }
  const files = new Map<string, EmojiFile>()
  const listing = (await readdir(path.join(images, 'assets'))).filter((file) => file.endsWith('.webp'))
  for (const file of listing.sort()) {
    const id = normaliseCodePoints(path.basename(file, '.webp'))
    const entry = byCode.get(id)
    if (!entry) {
      throw new Error(`bundled images: ${file} has no name in emoji.json; install the pinned versions`)
    }
    if (files.has(id)) continue
    const where = path.join(images, 'assets', file)
    files.set(id, {
      id,
      load: () => where,
      codePoints: id.split('-'),
      group: entry.group,
      caption: entry.name,
    })
  }
  const list = [...files.values()]
  const used = new Set(list.map((file) => file.group))
  const groups = [...new Set(entries.map((entry) => entry.group))].filter((group) => used.has(group))
  const version = `${await packageVersion(images)}+${await packageVersion(names)}`
  return { files: list, groups, version }
}

const hasSkinTone = (file: EmojiFile): boolean => file.codePoints.some((code) => /^1f3f[b-f]$/.test(code))

/**
 * Opens the bundled set: images contained in the square on white, 9 classes (Unicode groups), captions. One pack
 * serves both choices of `skinTones`, so an image is on the same side of the split with either.
 * @throws when the packages are missing or the cache folder cannot be written.
 */
export const openEmoji = async (options: EmojiOptions): Promise<DataSplit> => {
  const { size, skinTones = true, cacheDir, onProgress, signal } = options
  const { files, groups, version } = await listEmoji()
  const pack = await openPack({
    source: 'emoji',
    fingerprint: version,
    images: files,
    size,
    fit: 'contain',
    cacheDir,
    onProgress,
    signal,
    derivation: {
      id: 'lookalike-split-1',
      size: THUMBNAIL,
      compute: (thumbnails, kept) => {
        const keys = kept.map((i) => motifKey(files[i].codePoints))
        return lookalikeClusters(thumbnails, keys).map((cluster) => Number(isValidationCluster(cluster)))
      },
    },
  })
  const half = (name: string, side: number) =>
    packedSource({
      name: `emoji${skinTones ? '' : ' without skin tones'} (${name})`,
      pixels: pack.pixels,
      fingerprint: version,
      size,
      classes: groups,
      members: pack.kept.flatMap((at, row) => {
        const file = files[at]
        if (pack.derived[row] !== side || (!skinTones && hasSkinTone(file))) return []
        return [{ row, id: file.id, caption: file.caption, label: groups.indexOf(file.group) }]
      }),
    })
  return {
    train: half('train', 0),
    validation: half('validation', 1),
    skipped: pack.skipped,
    summary: {
      files: files.length,
      ignored: {},
      classes: `${groups.length} classes by Unicode group`,
      split: 'a tenth held out that looks like nothing trained on',
    },
  }
}
