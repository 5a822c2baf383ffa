/**
 * @file Draws addressed by example: noise, times and choices are pure functions of the seed, the name of what is drawn and
 * the example's number, so that they depend neither on the batch around an example nor on how a batch is cut into parts.
 */
import type { Part } from '../../engine/host/part.ts'
import { fillNormal, randomUniform, streamKey } from '../../engine/host/random.ts'
import { type HostTensor, type Shape, sizeOf, zeros } from '../../engine/host/tensor.ts'
import { stratifiedTimes } from './schedule.ts'

/** Which examples are drawn for. */
export interface Draw {
  readonly seed: number
  /** Measuring draws from streams of its own, so that no estimate shares its noise with training. */
  readonly purpose: 'training' | 'measuring'
  /** How many global batches came before. */
  readonly step: number
  readonly part: Part
}

const streamOf = ({ purpose }: Draw, name: string): string =>
  purpose === 'training' ? name : `${purpose}/${name}`

/** Number of a part's first example among all that were ever drawn. */
export const firstExample = ({ step, part }: Draw): number => step * part.of + part.first

/** Standard normal noise [B, …]: a stream for each example, numbered from `first`. */
export const numberedNoise = (shape: Shape, seed: number, name: string, first: number): HostTensor => {
  const noise = zeros(shape)
  const each = sizeOf(shape.slice(1))
  for (let i = 0; i < (shape[0] ?? 1); i++) {
    fillNormal(noise.data as Float32Array, streamKey(seed, name, first + i), i * each, each)
  }
  return noise
}

/** Standard normal noise [count, …] of a draw's examples. @param each shape of one example */
export const drawnNoise = (draw: Draw, name: string, each: Shape): HostTensor =>
  numberedNoise([draw.part.count, ...each], draw.seed, streamOf(draw, name), firstExample(draw))

/** A uniform number in (0, 1) for each of a draw's examples. */
export const drawnUniforms = (draw: Draw, name: string): number[] => {
  const key = streamKey(draw.seed, streamOf(draw, name))
  const first = firstExample(draw)
  return Array.from({ length: draw.part.count }, (_, i) => randomUniform(key, first + i))
}

/** Stratified times of a draw's examples: those of the part among the whole batch's (see stratifiedTimes). */
export const drawnTimes = (draw: Draw, name: string): number[] => {
  const { first, count, of } = draw.part
  const u = randomUniform(streamKey(draw.seed, streamOf(draw, name)), draw.step)
  return stratifiedTimes(u, of).slice(first, first + count)
}
