/** @file The transformer block of all three transformers: attention and MLP in parallel, FiLM, QK-norm (as in ViT-22B, Dehghani et al. 2023). */
import { scope, segment, type Value } from '../ir/graph.ts'
import { attention } from '../ops/attention.ts'
import { reshape, silu, transpose } from '../ops/core.ts'
import { type DropoutKey, dropout } from '../ops/dropout.ts'
import { linear } from '../ops/matmul.ts'
import { rmsNorm } from '../ops/norm.ts'
import { filmSpec, filmTokens, type LinearSpec, linearSpec } from './layers.ts'
import { type Params, param } from './params.ts'

/** MLP width over model width. */
const mlpRatio = 4

/** Sizes of a stack of blocks. */
export interface TransformerConfig {
  readonly width: number
  readonly blocks: number
  /** Width of one attention head; must divide `width`. */
  readonly headWidth: number
  /** Dropout rate of the MLP's hidden layer. */
  readonly dropout: number
}

type Weight = ReturnType<typeof param>
type BlockSpec = {
  readonly film: LinearSpec
  readonly query: Weight
  readonly key: Weight
  readonly value: Weight
  readonly attended: Weight
  readonly hidden: LinearSpec
  readonly out: Weight
}

const matrix = (dIn: number, dOut: number, gain: 0 | 1 = 1): Weight =>
  param([dIn, dOut], gain / Math.sqrt(dIn))

/** Parameters of one block; both branches end in zeros, so a new block is the identity. */
export const blockSpec = (width: number, dEmbedding: number): BlockSpec => ({
  film: filmSpec(dEmbedding, width),
  query: matrix(width, width),
  key: matrix(width, width),
  value: matrix(width, width),
  attended: matrix(width, width, 0),
  hidden: linearSpec(width, mlpRatio * width),
  out: matrix(mlpRatio * width, width, 0),
})

/** What a block needs besides its parameters and tokens. */
export interface BlockContext {
  /** Conditioning [B, E]. */
  readonly embedding: Value
  readonly headWidth: number
  readonly dropout: number
  /** Drives dropout; unused when the rate is 0, absent at evaluation. */
  readonly key?: DropoutKey | undefined
  /** Names this block's dropout mask. */
  readonly site: string
}

/** x + attention(norm x) + MLP(norm x) for x [B, N, D]. */
export const block = (p: Params<BlockSpec>, x: Value, context: BlockContext): Value => {
  const [B, N, D] = x.shape as [number, number, number]
  const d = context.headWidth
  if (D % d !== 0) {
    throw new Error(`${context.site}: headWidth ${d} does not divide the width ${D}; change one of them`)
  }
  const h = filmTokens(p.film, rmsNorm(x), context.embedding) // [B, N, D]
  const byHead = (v: Value): Value => transpose(reshape(v, [B, N, D / d, d]), [0, 2, 1, 3]) // [B, heads, N, d]
  // Normalised over the whole width rather than per head: logits stay bounded (by D/√d), and rows are long enough
  // for the kernel to be fast.
  const q = byHead(rmsNorm(linear(h, p.query)))
  const k = byHead(rmsNorm(linear(h, p.key)))
  const v = byHead(linear(h, p.value))
  const mixed = reshape(transpose(attention(q, k, v), [0, 2, 1, 3]), [B, N, D])
  const hidden = silu(linear(h, p.hidden.weight, p.hidden.bias)) // [B, N, 4D]
  const kept =
    context.key === undefined ? hidden : dropout(hidden, context.dropout, context.key, context.site)
  // The residual and the attention branch ride along as the products' addends: no pass of their own.
  const attended = linear(mixed, p.attended, x)
  return linear(kept, p.out, attended)
}

/** Parameters of a stack of blocks. */
export const stackSpec = ({ width, blocks }: TransformerConfig, dEmbedding: number): readonly BlockSpec[] =>
  Array.from({ length: blocks }, () => blockSpec(width, dEmbedding))

/** What a stack needs besides parameters and tokens. */
export interface StackContext extends Omit<BlockContext, 'site'> {
  readonly name: string
  /** Whether the backward pass computes each block again instead of keeping its intermediates. */
  readonly recompute: boolean
}

/** Applies blocks one after the other. */
export const stack = (p: readonly Params<BlockSpec>[], x: Value, context: StackContext): Value =>
  p.reduce((h, blockParams, i) => {
    const site = `${context.name}/${i}`
    return scope(site, () => {
      const apply = (): Value => block(blockParams, h, { ...context, site })
      return context.recompute ? segment([h], apply) : apply()
    })
  }, x)
