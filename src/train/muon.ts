/** @file Muon as an optimiser: matrices move by their momentum with all its singular values made about 1. */
import { type Shape, sizeOf } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import { add, div, mul, reduceSumSquare, reshape, sqrt, sub, where } from '../engine/ops/core.ts'
import { gemm } from '../engine/ops/matmul.ts'
import type { Optimizer } from './optimizer.ts'
import type { Slab, SlabEntry } from './slabs.ts'

/** Constants of Muon. */
export interface MuonConfig {
  /** Decay of the momentum. */
  readonly momentum: number
  /** Decoupled weight decay per unit of learning rate. */
  readonly weightDecay: number
  /** Whether it moves the matrix or kernel of a path. */
  takes(path: string): boolean
}

/** Iterations, and the polynomial aσ + bσ³ + cσ⁵ that each applies to the singular values (Jordan et al.). */
const [iterations, a, b, c] = [5, 3.4445, -4.775, 2.0315]

/** Root mean square of the elements of a step of full rank at learning rate 1, about that of AdamW (Liu et al.). */
const stepRms = 0.2

/** A tensor as a matrix: [dIn, dOut] as it is, a kernel [cOut, cIn, kh, kw] as [cOut, cIn·kh·kw]. */
const matrixOf = (shape: Shape): readonly [rows: number, cols: number] => {
  const [rows = 1] = shape
  return [rows, sizeOf(shape) / rows]
}

/**
 * About U·Vᵀ of a matrix U·Σ·Vᵀ, by five quintic Newton–Schulz iterations: singular values come out between 0.68 and
 * 1.21, those below 1/500 of the matrix's norm smaller. Works on the smaller side and transposes nothing.
 * @param matrix [rows, cols], of any scale
 */
export const orthogonalise = (matrix: Value): Value => {
  const [rows, cols] = matrix.shape
  const wide = rows <= cols
  let x = div(matrix, add(sqrt(reduceSumSquare(matrix)), 1e-7))
  for (let i = 0; i < iterations; i++) {
    const gram = gemm(x, x, undefined, { transA: !wide, transB: wide }) // X·Xᵀ or Xᵀ·X
    const rest = gemm(gram, gram, mul(gram, b), { alpha: c })
    x = wide ? gemm(rest, x, mul(x, a)) : gemm(x, rest, mul(x, a))
  }
  return x
}

/**
 * Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) with Nesterov's momentum, for matrices and kernels that it
 * takes; all other tensors are left to another optimiser. Steps are scaled by 0.2·√max(rows, cols) (Liu et al. 2025,
 * arXiv 2502.16982), so that both can share a learning rate and weight decay that suit AdamW. The momentum is a running
 * sum Σ μᵏ·g: its scale does not matter.
 */
export const muon = ({ momentum, weightDecay, takes }: MuonConfig, others: Optimizer): Optimizer => {
  const isOwn = ({ path, shape }: SlabEntry): boolean => Math.min(...matrixOf(shape)) > 1 && takes(path)
  const holdsOwn = ({ entries: [first] }: Slab): boolean => isOwn(first)
  return {
    copies: ['momentum', ...others.copies],
    scalars: others.scalars,
    standsAlone: (tensor) => isOwn(tensor) || (others.standsAlone?.(tensor) ?? false),
    keeps: (slab, copy) =>
      holdsOwn(slab) ? copy === 'momentum' : copy !== 'momentum' && (others.keeps?.(slab, copy) ?? true),
    begin: (step) => {
      const { ok, lr } = step
      const begun = others.begin(step)
      const keep = where(ok, momentum, 1)
      const shrink = where(ok, sub(1, mul(lr, weightDecay)), 1)
      return {
        next: (slab, current, gradient) => {
          if (!holdsOwn(slab)) return begun.next(slab, current, gradient)
          const { param } = current
          const shape = matrixOf(slab.entries[0].shape)
          const sum = add(mul(current.momentum, keep), gradient)
          const ahead = add(mul(sum, momentum), gradient)
          const direction = reshape(orthogonalise(reshape(ahead, shape)), [slab.size])
          const rate = mul(lr, stepRms * Math.sqrt(Math.max(...shape)))
          // The direction is read twice, so that the library fuses no product with the difference, which is then made in place.
          const change = where(ok, mul(direction, rate), mul(direction, 0))
          const kept = weightDecay === 0 ? param : mul(param, shrink)
          return { param: sub(kept, change), momentum: sum }
        },
      }
    },
  }
}
