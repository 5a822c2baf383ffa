/** @file The transformer block of all three transformers: attention and MLP in parallel, FiLM, QK-norm (as in ViT-22B, Dehghani et al. 2023). */
import { int32 } from '../host/tensor.ts'
import { scope, segment, type Value } from '../ir/graph.ts'
import { attention } from '../ops/attention.ts'
import { constant, mul, reshape, silu, transpose } from '../ops/core.ts'
import { type DropoutKey, dropout } from '../ops/dropout.ts'
import { linear } from '../ops/matmul.ts'
import { rmsNorm } from '../ops/norm.ts'
import { filmSpec, filmTokens, type LinearSpec, linearSpec } from './layers.ts'
import { type Params, param } from './params.ts'
import { perFrame } from './time.ts'

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
  /** Whether tokens of clips attend within their frame, then over time, instead of to all. */
  readonly isFactorised?: boolean
}

type Weight = ReturnType<typeof param>
type AttentionSpec = {
  readonly query: Weight
  readonly key: Weight
  readonly value: Weight
  readonly attended: Weight
}
type BlockSpec = AttentionSpec & {
  readonly film: LinearSpec
  readonly hidden: LinearSpec
  readonly out: Weight
}

/** A block of a stack, and attention over time behind it: none where all tokens attend to all. */
type StackedSpec = BlockSpec & { readonly time: readonly AttentionSpec[] }

const matrix = (dIn: number, dOut: number, gain: 0 | 1 = 1): Weight =>
  param([dIn, dOut], gain / Math.sqrt(dIn))

/** Parameters of attention, whose branch starts at zero. */
const attentionSpec = (width: number): AttentionSpec => ({
  query: matrix(width, width),
  key: matrix(width, width),
  value: matrix(width, width),
  attended: matrix(width, width, 0),
})

/** Parameters of one block; both branches end in zeros, so a new block is the identity. */
export const blockSpec = (width: number, dEmbedding: number): BlockSpec => ({
  film: filmSpec(dEmbedding, width),
  ...attentionSpec(width),
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

/** What attention gathers for each token from all, [B, N, D]. @param h normed tokens [B, N, D] */
const gathered = (
  p: Params<AttentionSpec>,
  h: Value,
  { headWidth: d, site }: Pick<BlockContext, 'headWidth' | 'site'>,
): Value => {
  const [B, N, D] = h.shape as [number, number, number]
  if (D % d !== 0) {
    throw new Error(`${site}: headWidth ${d} does not divide the width ${D}; change one of them`)
  }
  const byHead = (v: Value): Value => transpose(reshape(v, [B, N, D / d, d]), [0, 2, 1, 3]) // [B, heads, N, d]
  // Normalised over the whole width rather than per head: logits stay bounded (by D/√d), and rows are long enough
  // for the kernel to be fast.
  const q = byHead(rmsNorm(linear(h, p.query)))
  const k = byHead(rmsNorm(linear(h, p.key)))
  const v = byHead(linear(h, p.value))
  return reshape(transpose(attention(q, k, v), [0, 2, 1, 3]), [B, N, D])
}

/** x + attention(norm x) + MLP(norm x) for x [B, N, D]. */
export const block = (p: Params<BlockSpec>, x: Value, context: BlockContext): Value => {
  const h = filmTokens(p.film, rmsNorm(x), context.embedding) // [B, N, D]
  const mixed = gathered(p, h, context)
  const hidden = silu(linear(h, p.hidden.weight, p.hidden.bias)) // [B, N, 4D]
  const kept =
    context.key === undefined ? hidden : dropout(hidden, context.dropout, context.key, context.site)
  // The residual and the attention branch ride along as the products' addends: no pass of their own.
  const attended = linear(mixed, p.attended, x)
  return linear(kept, p.out, attended)
}

/** Parameters of a stack of blocks. */
export const stackSpec = (
  { width, blocks, isFactorised = false }: TransformerConfig,
  dEmbedding: number,
): readonly StackedSpec[] =>
  Array.from({ length: blocks }, () => ({
    ...blockSpec(width, dEmbedding),
    time: isFactorised ? [attentionSpec(width)] : [],
  }))

/** What a stack needs besides parameters and tokens. */
export interface StackContext extends Omit<BlockContext, 'site'> {
  readonly name: string
  /** Frames T that the tokens [B, T·n, D] are of; 1 when absent. */
  readonly frames?: number
  /** Whether the backward pass computes each block again instead of keeping its intermediates. */
  readonly recompute: boolean
}

/** The same mask for a frame, which is an example within a block, wherever in a batch its clip is. */
const keyOfFrames = (key: DropoutKey | undefined, frames: number): DropoutKey | undefined =>
  key?.first === undefined ? key : { ...key, first: mul(key.first, constant(int32([], [frames]))) }

/** x + attention over time for x [B·T, n, D]: every position sees itself in the T frames. */
const overTime = (
  p: Params<AttentionSpec>,
  x: Value,
  frames: number,
  context: Pick<BlockContext, 'headWidth' | 'site'>,
): Value => {
  const [all, n, D] = x.shape as [number, number, number]
  const B = all / frames
  const columns = reshape(transpose(reshape(x, [B, frames, n, D]), [0, 2, 1, 3]), [B * n, frames, D])
  const mixed = linear(gathered(p, rmsNorm(columns), context), p.attended, columns)
  return reshape(transpose(reshape(mixed, [B, n, frames, D]), [0, 2, 1, 3]), [all, n, D])
}

/**
 * Applies blocks one after the other to tokens [B, T·n, D]. Attention is over all of them, or factorised: within a frame, then
 * over time.
 */
export const stack = (p: readonly Params<StackedSpec>[], x: Value, context: StackContext): Value => {
  const { name, frames = 1, recompute } = context
  const [B, N, D] = x.shape as [number, number, number]
  const parts = p.some(({ time }) => time.length > 0) ? frames : 1
  const inFrames =
    parts === 1
      ? context
      : {
          ...context,
          embedding: perFrame(context.embedding, parts),
          key: keyOfFrames(context.key, parts),
        }
  const mixed = p.reduce(
    (h, own, i) => {
      const site = `${name}/${i}`
      const apply = (): Value =>
        own.time.reduce(
          (v, time) => overTime(time, v, parts, { ...context, site }),
          block(own, h, { ...inFrames, site }),
        )
      return scope(site, () => (recompute ? segment([h], apply) : apply()))
    },
    reshape(x, [B * parts, N / parts, D]),
  )
  return reshape(mixed, [B, N, D])
}
