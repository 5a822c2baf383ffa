/** @file From images or clips in bytes to what a feature network takes, a batch at a time. */
import { float32, type HostTensor, joined } from '../engine/host/tensor.ts'
import type { ClipSize } from './resize.ts'
import type { Sidecar } from './sidecar.ts'

/** How a network wants its images, once they have its size. */
export type InputRule = Pick<Sidecar, 'height' | 'width' | 'layout' | 'channels' | 'range' | 'mean' | 'std'>

/** Channel values as the network wants them: scale·byte + offset. */
const affine = ({ range, mean, std }: InputRule): readonly (readonly [number, number])[] =>
  [0, 1, 2].map((c) => {
    if (mean !== undefined && std !== undefined) return [1 / (255 * std[c]), -mean[c] / std[c]]
    const [low, high] = range ?? [0, 1]
    return [(high - low) / 255, low]
  })

/** The values' rule in words, for reports. */
export const valuesText = ({ range, mean, std }: InputRule): string =>
  range === undefined ? `mean ${mean?.join(', ')}, std ${std?.join(', ')}` : `range ${range.join(' … ')}`

/**
 * Resized images [N, H, W, 3], or clips [N, T, H, W, 3], in 0 … 255 in the network's range, channel order and layout.
 * @param frames T, where the layout has an axis for it
 */
export const toInput = (resized: Float32Array, rule: InputRule, frames = 1): HostTensor => {
  const { height, width, layout, channels } = rule
  // The places of a clip lie as those of one tall image would.
  const places = frames * height * width
  const count = resized.length / (3 * places)
  const map = affine(rule)
  const channelsFirst = layout === 'nchw' || layout === 'ncthw'
  const out = new Float32Array(resized.length)
  for (let n = 0; n < count; n++) {
    for (let c = 0; c < 3; c++) {
      const [scale, offset] = map[c]
      const source = n * 3 * places + (channels === 'rgb' ? c : 2 - c)
      for (let p = 0; p < places; p++) {
        const to = channelsFirst ? (n * 3 + c) * places + p : (n * places + p) * 3 + c
        out[to] = scale * resized[source + 3 * p] + offset
      }
    }
  }
  const axes = { n: count, c: 3, t: frames, h: height, w: width }
  return float32(
    Array.from(layout, (axis) => axes[axis as keyof typeof axes]),
    out,
  )
}

/** How images, or clips, are cut into batches. */
export interface Batching {
  /** Of them at a time. */
  readonly batch: number
  /** Whether the last batch is filled up with black ones, whose rows are dropped. */
  readonly fill: boolean
  /** Ends it between batches. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Rows of features of any number of images or clips.
 * @param pixels [N, height, width, 3]; of clips [N, frames, height, width, 3]
 * @param rows features of a batch of them, one row each
 * @throws when the bytes fill no whole ones
 */
export const inBatches = async (
  pixels: Uint8Array,
  { height, width, frames }: ClipSize,
  { batch, fill, signal }: Batching,
  rows: (pixels: Uint8Array) => Promise<Float32Array>,
): Promise<Float32Array> => {
  const each = (frames ?? 1) * height * width * 3
  const count = pixels.length / each
  if (!Number.isInteger(count)) {
    const kind = frames === undefined ? 'images of ' : `clips of ${frames}×`
    throw new Error(`features: ${pixels.length} bytes are not ${kind}${height}×${width}×3`)
  }
  const parts: Float32Array[] = []
  for (let from = 0; from < count; from += batch) {
    signal?.throwIfAborted()
    const taken = Math.min(batch, count - from)
    const run = fill ? batch : taken
    const bytes = new Uint8Array(run * each)
    bytes.set(pixels.subarray(from * each, (from + taken) * each))
    const part = await rows(bytes)
    parts.push(part.subarray(0, (part.length / run) * taken))
  }
  return joined(parts)
}
