/** @file One block alone: the gradient of the sum of squares of its output, for its input and its parameters. */
import { gradient } from '../src/engine/autodiff/gradient.ts'
import type { Shape } from '../src/engine/host/tensor.ts'
import type { Value } from '../src/engine/ir/graph.ts'
import { type Program, trace } from '../src/engine/ir/program.ts'
import { resBlock, resBlockSpec } from '../src/engine/nn/layers.ts'
import { bindParams, flattenSpec, type Spec } from '../src/engine/nn/params.ts'
import { block, blockSpec } from '../src/engine/nn/transformer.ts'
import { reduceSum, square } from '../src/engine/ops/core.ts'
import { type Case, drawnParams, gflopsOf, normal, type Tensors } from './case.ts'

/** A block with its sizes. Every parameter's path starts with `block.`. */
export interface Block {
  readonly name: string
  readonly title: string
  readonly spec: Spec
  /** `x`, and for transformers `embedding`. */
  readonly inputs: Readonly<Record<string, { readonly shape: Shape }>>
  /** Width of an attention head; 0 without attention. */
  readonly headWidth: number
  apply(lookUp: (path: string) => Value, inputs: Readonly<Record<string, Value>>): Value
}

/** A transformer block of N tokens. */
export const attentionBlock = (width: number, N: number, B: number): Block => {
  const headWidth = width < 256 ? 32 : 64
  const spec = { block: blockSpec(width, width) }
  return {
    name: `block/${width}`,
    title: `transformer block, ${width} wide, ${N} tokens, batch ${B}`,
    spec,
    inputs: { x: { shape: [B, N, width] }, embedding: { shape: [B, width] } },
    headWidth,
    apply: (lookUp, { x, embedding }) =>
      block(bindParams(spec, lookUp).block, x, { embedding: embedding, headWidth, dropout: 0, site: '' }),
  }
}

/** A residual block without conditioning. */
export const residualBlock = (channels: number, side: number, B: number): Block => {
  const spec = { block: resBlockSpec(channels) }
  return {
    name: `resblock/${channels}`,
    title: `residual block, ${channels} channels, ${side}×${side}, batch ${B}`,
    spec,
    inputs: { x: { shape: [B, channels, side, side] } },
    headWidth: 0,
    apply: (lookUp, { x }) => resBlock(bindParams(spec, lookUp).block, x),
  }
}

/** Outputs `loss`, `gradient/x` and `gradient/<path>` of every parameter. */
const traceGradients = ({ name, spec, inputs, apply }: Block): Program => {
  const params = Object.fromEntries(flattenSpec(spec).map(({ path, spec: { shape } }) => [path, { shape }]))
  return trace(name, { ...params, ...inputs }, (values) => {
    const loss = reduceSum(square(apply((path) => values[path], values)))
    const wanted = ['x', ...Object.keys(params)]
    const gradients = gradient(
      loss,
      wanted.map((path) => values[path]),
    )
    return { loss, ...Object.fromEntries(wanted.map((path, i) => [`gradient/${path}`, gradients[i]])) }
  })
}

/** A block as a case. */
export const blockCase = (block: Block): Case => ({
  name: block.name,
  title: block.title,
  prepare: async (runtime, handOver) => {
    const params = drawnParams(block.spec)
    const inputs = Object.fromEntries(
      Object.entries(block.inputs).map(([name, { shape }]) => [name, normal(shape, name)]),
    )
    const program = traceGradients(block)
    const executable = await runtime.compile(program)
    const run = (): Promise<Tensors> => executable.run({ ...params, ...inputs })
    handOver({
      params,
      inputs,
      expected: await run(),
      info: { kind: 'gradients', headWidth: block.headWidth },
    })
    return { gflops: 3 * gflopsOf({ loss: program.outputs.loss }), run }
  },
})
