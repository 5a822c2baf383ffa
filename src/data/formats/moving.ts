/** @file The bundled clips: emoji that move, bounce, turn, grow and pass behind one another; rendered as they are read. */

import type { OnProgress } from '../images/packed.ts'
import { type DataSplit, type ImageSource, sourceFingerprint } from '../images/source.ts'
import { frontSprite, type MovingScene, movingScene, placesAt, renderFrame, SCALES } from './movingScene.ts'
import { openSprites, type Sprite } from './sprites.ts'

/** Choices of the bundled clips. */
export interface MovingOptions {
  /** Height and width of a frame in pixels. */
  readonly size: number
  /** Frames of a clip. */
  readonly frames: number
  /** Whether to include skin-tone variants of emoji. Default true. */
  readonly skinTones?: boolean
  readonly cacheDir?: string
  readonly onProgress?: OnProgress
  readonly signal?: AbortSignal
}

/** Clips of which everything that moves in them is known. */
export interface MovingSource extends ImageSource {
  readonly frames: number
  /** What is in clip `index`, and where in each frame; not mirrored. @throws when it is not one of the source's. */
  scene(index: number): MovingScene
}

/** Whether a source has scenes. */
export const isMovingSource = (source: ImageSource): source is MovingSource => 'scene' in source

/** Raised whenever the same clip would be another one. */
const FORMAT = 1

/** Clips of each half. */
const COUNTS = { train: 8192, validation: 512 } as const

/** Side of sprites at most, in pixels; in larger frames they are enlarged. */
const LARGEST_SPRITE = 128

/** Sprites of each class that has any. */
const byLabel = (sprites: readonly Sprite[], classes: number): Sprite[][] =>
  Array.from({ length: classes }, (_, label) => sprites.filter((sprite) => sprite.label === label)).filter(
    (some) => some.length > 0,
  )

/** Clips of a half. */
interface HalfOptions extends Pick<MovingOptions, 'size' | 'frames'> {
  readonly half: keyof typeof COUNTS
  readonly name: string
  readonly sprites: readonly Sprite[]
  readonly classes: readonly string[]
  readonly version: string
}

const movingSource = (options: HalfOptions): MovingSource => {
  const { half, name, size, frames, sprites, classes, version } = options
  const byClass = byLabel(sprites, classes.length)
  const clips = Array.from({ length: COUNTS[half] }, (_, index) => ({
    id: `${half} ${String(index).padStart(4, '0')}`,
    front: frontSprite({ half, index, byClass }),
  }))
  const scene = (index: number): MovingScene => {
    if (!clips[index]) throw new Error(`${name}: no image ${index}; pass 0 to ${clips.length - 1}`)
    return movingScene({ half, index, size, frames, byClass })
  }
  const each = size * size * 3
  return {
    name,
    count: clips.length,
    size,
    frames,
    fingerprint: sourceFingerprint(
      name,
      `${version}+${FORMAT}, ${frames} frames`,
      size,
      clips.map(({ id, front }) => ({ id, label: front.label })),
    ),
    classes,
    label: (index) => clips[index].front.label,
    caption: (index) => clips[index].front.caption,
    id: (index) => clips[index].id,
    scene,
    // a clip has as many frames as are read, so windows change nothing
    read: async (indices) => {
      const out = new Uint8Array(indices.length * frames * each)
      for (const [n, index] of indices.entries()) {
        const clip = scene(index)
        for (let t = 0; t < frames; t++)
          out.set(renderFrame(clip, placesAt(clip, t)), (n * frames + t) * each)
      }
      return out
    },
  }
}

/**
 * Opens the bundled clips: 8,192 of emoji of the training half and 512 of those held out, which look like none of the others.
 * A clip's class and caption are those of the sprite in front.
 * @throws when the packages are missing or the cache folder cannot be written.
 */
export const openMoving = async (
  options: MovingOptions,
): Promise<DataSplit & { readonly train: MovingSource; readonly validation: MovingSource }> => {
  const { size, frames, skinTones = true } = options
  // the largest that one is seen, so that sprites are only ever shrunk, and by less than two
  const side = Math.max(2, Math.min(LARGEST_SPRITE, Math.round(SCALES[1] * size)))
  const { groups, version, skipped, files, ...sprites } = await openSprites({ ...options, side })
  const source = (half: 'train' | 'validation'): MovingSource =>
    movingSource({
      half,
      name: `moving emoji${skinTones ? '' : ' without skin tones'} (${half})`,
      ...{ size, frames, sprites: sprites[half], classes: groups, version },
    })
  return {
    train: source('train'),
    validation: source('validation'),
    skipped,
    summary: {
      files,
      ignored: {},
      classes: `${groups.length} classes by Unicode group of the emoji in front`,
      split: 'held out are clips of emoji that look like none of those trained on',
    },
  }
}
