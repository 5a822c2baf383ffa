/**
 * @file Given frames of clips: how many training gives, the clips that stand for them, and their tensors. The frames after the
 * given ones are copies of the last of these, in training as in sampling, so that nothing of what is to be generated is seen.
 */
import { float32, floats, type HostTensor, paddedExamples, sizeOf, zeros } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import type { InputSpec } from '../engine/ir/program.ts'
import { imageOf, latentOf, type ModelConfig } from './config.ts'
import { type Draw, drawnUniforms } from './diffusion/draws.ts'
import type { Given, GivenFrames } from './networks/given.ts'
import { batchShape } from './networks/shapes.ts'

/** What is given of clips, as tensors: of images none of them. */
export type GivenTensors = Readonly<Partial<Record<'givenFrames' | 'givenZ' | 'givenMask', HostTensor>>>

/** Inputs by which programs find what is given of B clips; none for images. */
export const givenInputs = (
  model: ModelConfig,
  B: number,
): Readonly<Partial<Record<keyof GivenTensors, InputSpec>>> =>
  model.video === undefined
    ? {}
    : {
        givenFrames: { shape: batchShape(imageOf(model), B) },
        givenZ: { shape: batchShape(latentOf(model), B) },
        givenMask: { shape: [B, model.frames] },
      }

/** Those that a base model reads: the frames themselves only the decoder sees. */
export const givenLatentOf = <T>({
  givenZ,
  givenMask,
}: Readonly<Partial<Record<keyof GivenTensors, T>>>): Readonly<
  Partial<Record<'givenZ' | 'givenMask', T>>
> => ({ ...(givenZ && { givenZ }), ...(givenMask && { givenMask }) })

/** What a base model is given, among the traced inputs of a program; absent for images. */
export const givenLatentAmong = ({
  givenZ: z,
  givenMask: mask,
}: Readonly<Partial<Record<keyof GivenTensors, Value>>>): Given | undefined => z && mask && { z, mask }

/** What is given, among the traced inputs of a program; absent for images. */
export const givenAmong = ({
  givenFrames: frames,
  givenZ: z,
  givenMask: mask,
}: Readonly<Partial<Record<keyof GivenTensors, Value>>>): GivenFrames | undefined =>
  frames && z && mask && { frames, z, mask }

/**
 * How many frames are given of each of a draw's clips.
 * @param share of clips of which some are given; the model's when absent
 */
export const drawnGivenCounts = (
  { video, frames }: ModelConfig,
  draw: Draw,
  share: number | undefined = video?.givenShare,
): number[] => {
  if (video === undefined || share === undefined) return []
  const [whether, howMany] = [drawnUniforms(draw, 'given'), drawnUniforms(draw, 'givenCount')]
  const { given } = video
  return whether.map((u, i) => {
    if (u >= share) return 0
    return u < share / 2 ? Math.min(given, frames - 1) : 1 + Math.floor(howMany[i] * (frames - 1))
  })
}

/** Which of T frames are given of clips, [N, T]: 1 for those, 0 for others. @param counts how many of each */
export const givenMaskOf = (counts: readonly number[], T: number): HostTensor => {
  const mask = new Float32Array(counts.length * T)
  for (const [n, count] of counts.entries()) mask.fill(1, n * T, n * T + count)
  return float32([counts.length, T], mask)
}

/** What is given, withheld from a share of a draw's clips. @param given of the draw's examples */
export const withheldGiven = <T extends Pick<GivenTensors, 'givenMask'>>(
  given: T,
  share: number,
  draw: Draw,
): T => {
  const { givenMask } = given
  if (givenMask === undefined || share === 0) return given
  const [uniforms, T] = [drawnUniforms(draw, 'givenDropout'), givenMask.shape[1]]
  const mask = floats(givenMask).map((value, at) => (uniforms[Math.floor(at / T)] < share ? 0 : value))
  return { ...given, givenMask: float32(givenMask.shape, mask) }
}

/** Clips that go on with copies of their last given frame; of those that are given nothing, zeros. @param x [N, 3, T, H, W] */
export const givenClips = (
  x: HostTensor,
  counts: readonly number[],
): Required<Pick<GivenTensors, 'givenFrames' | 'givenMask'>> => {
  const [, C, T, H, W] = x.shape as [number, number, number, number, number]
  const [source, plane] = [floats(x), H * W]
  const frames = new Float32Array(source.length)
  for (const [n, count] of counts.entries()) {
    if (count === 0) continue
    for (let c = 0; c < C; c++) {
      const start = (n * C + c) * T * plane
      for (let t = 0; t < T; t++) {
        const from = start + Math.min(t, count - 1) * plane
        frames.set(source.subarray(from, from + plane), start + t * plane)
      }
    }
  }
  return { givenFrames: float32(x.shape, frames), givenMask: givenMaskOf(counts, T) }
}

/** The tensors of N clips of which nothing is given; of images none. */
export const nothingGiven = (model: ModelConfig, N: number): GivenTensors =>
  Object.fromEntries(Object.entries(givenInputs(model, N)).map(([name, { shape }]) => [name, zeros(shape)]))

/** What is given of the clips of a batch of B, from one on: the last is filled up. @param given nothing when absent */
export const batchOfGiven = (
  model: ModelConfig,
  given: GivenTensors | undefined,
  first: number,
  B: number,
): GivenTensors =>
  given === undefined
    ? nothingGiven(model, B)
    : Object.fromEntries(
        Object.entries(given).map(([name, tensor]) => [name, paddedExamples(tensor, first, B)]),
      )

/** Clips with their given frames in place. @param x what was generated, [N, 3, T, H, W] */
export const withGiven = (x: HostTensor, { givenFrames, givenMask }: GivenTensors): HostTensor => {
  if (givenFrames === undefined || givenMask === undefined) return x
  const [, C, T, ...grid] = x.shape
  const plane = sizeOf(grid)
  const [made, given, mask] = [floats(x).slice(), floats(givenFrames), floats(givenMask)]
  for (const [at, isGiven] of mask.entries()) {
    if (isGiven === 0) continue
    const [n, t] = [Math.floor(at / T), at % T]
    for (let c = 0; c < C; c++) {
      const start = ((n * C + c) * T + t) * plane
      made.set(given.subarray(start, start + plane), start)
    }
  }
  return float32(x.shape, made)
}
