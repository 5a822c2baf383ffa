/** @file Scaled dot-product attention. */
import type { Value } from '../ir/graph.ts'
import { matmul } from './matmul.ts'
import { softmax } from './norm.ts'

/** softmax(q·kᵀ/√d)·v for q [B,H,N,d], k [B,H,M,d], v [B,H,M,e]: [B,H,N,e]. */
export const attention = (q: Value, k: Value, v: Value): Value => {
  const d = q.shape.at(-1)!
  const weights = softmax(matmul(q, k, { transB: true, alpha: 1 / Math.sqrt(d) })) // [B, H, N, M]
  return matmul(weights, v) // [B, H, N, e]
}
