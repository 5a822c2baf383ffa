/** @file Positions of latents that are kept while the others are drawn: what a chain holds there at every noise level. */
import { float32, floats, type HostTensor, showShape, sizeOf } from '../engine/host/tensor.ts'
import { alphaOf, sigmaOf } from './diffusion/schedule.ts'

/** Examples of which some positions are known. */
export interface Kept {
  /** What a chain is to end with at the kept positions, [N, c, …]: noisy latents z_0 where it stops at λ(0). */
  readonly z0: HostTensor
  /** 1 where a position is kept and 0 where it is drawn, [N, 1, …]. */
  readonly mask: HostTensor
}

/** @throws Error when the mask has other positions than the latents */
export const expectKept = ({ z0, mask }: Kept): void => {
  const wanted = [z0.shape[0], 1, ...z0.shape.slice(2)]
  if (showShape(mask.shape) !== showShape(wanted))
    throw new Error(
      `kept positions: a mask of shape ${showShape(mask.shape)} for latents ${showShape(z0.shape)}; give one of shape ${showShape(wanted)}`,
    )
}

/**
 * The same examples with more noise: z_t = a·z_0 + s·ε with a = α_t/α_0 and s² = σ_t² − a²σ_0², so that what is drawn
 * from q(z_0 | z) becomes drawn from q(z_t | z).
 * @param eps standard normal, as many numbers as z_0
 * @param from λ_0, infinite for what has no noise
 * @param to λ_t ≤ λ_0
 */
export const noisedFurther = (z0: HostTensor, eps: HostTensor, from: number, to: number): HostTensor => {
  const a = alphaOf(to) / alphaOf(from)
  // rounding must not make a step of no length negative
  const s = Math.sqrt(Math.max(0, sigmaOf(to) ** 2 - (a * sigmaOf(from)) ** 2))
  const noise = floats(eps)
  return float32(
    z0.shape,
    floats(z0).map((value, i) => a * value + s * noise[i]),
  )
}

/** `known` where the mask keeps, `x` elsewhere. @param x [N, c, …] like `known`; mask [N, 1, …] */
export const withKept = (x: HostTensor, known: HostTensor, mask: HostTensor): HostTensor => {
  const [own, kept] = [floats(known), floats(mask)]
  const positions = sizeOf(x.shape.slice(2))
  const each = positions * x.shape[1]
  return float32(
    x.shape,
    floats(x).map((value, i) => {
      const position = Math.floor(i / each) * positions + (i % positions)
      return kept[position] === 0 ? value : own[i]
    }),
  )
}
