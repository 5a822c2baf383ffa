/** @file CLIP scores of reconstructions by their captions and of samples by their classes, with those of originals beside them. */
import type { ImageSource } from '../data/images/source.ts'
import { type HubOptions, openClip } from '../features/hub.ts'
import { elementsOf, imageExtent } from '../method/networks/shapes.ts'
import type { ClipFigures, ClipScore } from '../metrics/figures.ts'
import { meanAndError } from '../metrics/mean.ts'

/** What is scored. */
export interface ClipRequest extends HubOptions {
  readonly model?: string | undefined
  /** Images that are reconstructed; none where nothing is. */
  readonly positions: readonly number[]
  /** Images whose classes are generated; none where nothing is. */
  readonly sampled: readonly number[]
  /** Images that are in memory at a time. */
  readonly atOnce: number
}

/** Collects scores while images pass by. */
export interface ClipScores {
  /** RGB bytes of reconstructions `first`, `first` + 1, … */
  reconstructed(pixels: Uint8Array, first: number): Promise<void>
  /** RGB bytes of samples. */
  generated(pixels: Uint8Array, first: number): Promise<void>
  /** Scores the originals, too. */
  figures(): Promise<ClipFigures>
  dispose(): Promise<void>
}

const summary = (scores: readonly number[]): ClipScore | null =>
  scores.length === 0 ? null : { ...meanAndError(scores), count: scores.length }

const countText = (texts: readonly string[]): string => {
  const there = texts.filter((text) => text !== '').length
  return there === texts.length ? `all ${there}` : `${there} of ${texts.length}, the others have none`
}

/**
 * Opens a CLIP model to score images by.
 * @throws one sentence when the data says nothing about what images show, or as `openClip`
 */
export const openClipScores = async (source: ImageSource, request: ClipRequest): Promise<ClipScores> => {
  const { model, positions, sampled, atOnce, ...options } = request
  const captions = positions.map((i) => source.caption(i).trim())
  const prompts = sampled.map((i) => source.classes[source.label(i)] ?? '')
  const has = (texts: readonly string[]): boolean => texts.some((text) => text !== '')
  if (!has(captions) && !has(prompts)) {
    throw new Error(
      `clip: ${source.name} has no captions, and there are no samples of named classes, so nothing says what images should show; use data with captions (docs/data.md)`,
    )
  }
  const clip = await openClip(model, options)
  const size = { height: source.size, width: source.size }
  const each = elementsOf(imageExtent(source.size))
  /** Scores of the images that have a text. */
  const scoresOf = async (pixels: Uint8Array, texts: readonly string[]): Promise<number[]> => {
    const kept = texts.flatMap((text, i) => (text === '' ? [] : [i]))
    const bytes = new Uint8Array(kept.length * each)
    for (const [to, i] of kept.entries()) bytes.set(pixels.subarray(i * each, (i + 1) * each), to * each)
    return [
      ...(await clip.score(
        bytes,
        size,
        kept.map((i) => texts[i]),
      )),
    ]
  }
  const collector = (texts: readonly string[]) => {
    const all: number[] = []
    const add = async (pixels: Uint8Array, first: number): Promise<void> => {
      all.push(...(await scoresOf(pixels, texts.slice(first, first + pixels.length / each))))
    }
    return { all, add }
  }
  const originalsOf = async (
    indices: readonly number[],
    texts: readonly string[],
  ): Promise<ClipScore | null> => {
    if (!has(texts)) return null
    const { all, add } = collector(texts)
    for (let first = 0; first < indices.length; first += atOnce) {
      await add(await source.read(indices.slice(first, first + atOnce)), first)
    }
    return summary(all)
  }
  const [reconstructed, generated] = [collector(captions), collector(prompts)]
  return {
    reconstructed: reconstructed.add,
    generated: generated.add,
    figures: async () => ({
      protocol: {
        model: clip.describe(),
        score: '100·cos of image and text, not cut at 0; mean ± standard error over images',
        captions: has(captions)
          ? `captions of ${source.name}: ${countText(captions)}`
          : positions.length === 0
            ? 'nothing is reconstructed'
            : `${source.name} has no captions: reconstructions are not scored`,
        prompts: has(prompts)
          ? `the class name alone: ${countText(prompts)}`
          : sampled.length === 0
            ? 'nothing is generated'
            : `${source.name} has no class names: samples are not scored`,
      },
      reconstructions: summary(reconstructed.all),
      originals: await originalsOf(positions, captions),
      samples: summary(generated.all),
      originalsByClass: await originalsOf(sampled, prompts),
    }),
    dispose: () => clip.dispose(),
  }
}
