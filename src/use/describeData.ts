/** @file What a data set holds, before anything is trained on it: counts, classes, what was skipped, a contact sheet. */

import type { ImageSource, SkippedFile } from '../data/images/source.ts'
import type { DataOptions } from '../data/open.ts'
import { toNchw } from '../engine/host/pixels.ts'
import { resizeSquare } from '../engine/host/squares.ts'
import { floats, zeros } from '../engine/host/tensor.ts'
import { batchShape, elementsOf, imageExtent } from '../method/networks/shapes.ts'
import { gridPng } from '../report/grid.ts'
import type { Listener } from '../runs/events.ts'
import { evenly } from './evenly.ts'
import { mostRows } from './facts.ts'
import { openWithNotes } from './runData.ts'

export type { DataOptions } from '../data/open.ts'

/** Images of one class. */
export interface ClassCount {
  readonly name: string
  readonly train: number
  readonly validation: number
}

/** What `ul data` shows. */
export interface DataDescription {
  readonly source: string
  readonly path: string | undefined
  /** Height and width in pixels. */
  readonly size: number
  /** Frames of a clip; 1 for images. */
  readonly frames: number
  readonly train: number
  readonly validation: number
  /** Empty when the data has no classes. */
  readonly classes: readonly ClassCount[]
  /** One of the captions; the empty string when there are none. */
  readonly caption: string
  /** Images that could not be used; those of a set too large for memory are found only as they are read. */
  readonly skipped: number
  /** The first few of them. */
  readonly firstSkipped: readonly SkippedFile[]
}

const sheetColumns = 8
/** Side of an image on the sheet at most, in pixels; larger ones are shrunk. */
const largestTile = 128
const skippedShown = 5

/** Indices of the images of each class. */
const byLabel = (source: ImageSource): number[][] => {
  const members: number[][] = source.classes.map(() => [])
  for (let i = 0; i < source.count; i++) members[source.label(i)]?.push(i)
  return members
}

const inRows = (indices: readonly number[]): number[][] =>
  Array.from({ length: Math.ceil(indices.length / sheetColumns) }, (_, r) =>
    indices.slice(r * sheetColumns, (r + 1) * sheetColumns),
  )

/** The pixels of a row of the sheet: chosen images, or of the first of chosen clips the frames, spread evenly. [size, size, 3] each */
const rowOf = async (source: ImageSource, picked: readonly number[]): Promise<Uint8Array[]> => {
  const each = 3 * source.size ** 2
  const { frames } = source
  if (frames === undefined) return Promise.all(picked.map((index) => source.read([index])))
  const clip = await source.read(picked.slice(0, 1))
  return evenly(sheetColumns, frames).map((t) => clip.subarray(t * each, (t + 1) * each))
}

/** Training images or a clip, a row for each of up to twenty classes that have any, spread evenly; PNG. */
const contactSheet = async (source: ImageSource): Promise<Uint8Array> => {
  const used = byLabel(source).flatMap((members, label) => (members.length > 0 ? [{ members, label }] : []))
  const rows =
    used.length === 0
      ? inRows(evenly(sheetColumns ** 2, source.count)).map((picked) => ({ picked, label: '' }))
      : evenly(mostRows, used.length).map((row) => {
          const { members, label } = used[row]
          const picked = evenly(sheetColumns, members.length).map((k) => members[k])
          return { picked, label: source.classes[label] }
        })
  const { size } = source
  const side = Math.min(size, largestTile)
  const tileExtent = imageExtent(side)
  const sheet = zeros(batchShape(tileExtent, rows.length * sheetColumns))
  // places without an image stay white
  const pixels = floats(sheet).fill(1)
  for (const [r, { picked }] of rows.entries()) {
    for (const [c, image] of (await rowOf(source, picked)).entries()) {
      const tile = resizeSquare({ width: size, height: size, pixels: image }, side)
      pixels.set(floats(toNchw(tile, { size: side })), (r * sheetColumns + c) * elementsOf(tileExtent))
    }
  }
  const scale = Math.max(1, Math.round(64 / side))
  return gridPng(sheet, sheetColumns, { scale, labels: rows.map(({ label }) => label) })
}

/**
 * Opens a data set and counts what it holds.
 * @throws as `openData`.
 */
export const describeData = async (
  options: DataOptions,
  listen: Listener,
): Promise<{ readonly description: DataDescription; readonly sheet: Uint8Array }> => {
  const { train, validation, skipped } = await openWithNotes(options, listen)
  const counts = [byLabel(train), byLabel(validation)]
  const sheet = await contactSheet(train)
  return {
    description: {
      source: options.source,
      path: options.path ?? undefined,
      size: options.size,
      frames: train.frames ?? 1,
      train: train.count,
      validation: validation.count,
      classes: train.classes.map((name, label) => ({
        name,
        train: counts[0][label].length,
        validation: counts[1][label].length,
      })),
      caption: train.caption(0),
      skipped: skipped.length,
      firstSkipped: skipped.slice(0, skippedShown),
    },
    sheet,
  }
}
