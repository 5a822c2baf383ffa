/** @file The networks of a model as ONNX models of any batch: what they read, what they give, and where their weights are. */
import type { DType, HostTensor } from '../engine/host/tensor.ts'
import type { Program } from '../engine/ir/program.ts'
import { batchName, serializeAnyBatch } from '../engine/onnx/anyBatch.ts'
import type { OnnxModel } from '../engine/onnx/serialize.ts'
import { tracedDecoderStep, tracedEncoder } from '../method/codec.ts'
import type { ModelConfig } from '../method/config.ts'
import { type GeneratorKind, tracedGeneratorStep } from '../method/generator.ts'
import type { Weights } from '../train/frozen.ts'

/** An input or output of an exported network; its first axis is any number of examples. */
export interface ExportedValue {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly (number | string)[]
}

/** A network as files. */
export interface ExportedNetwork {
  /** Name of the model's file. */
  readonly file: string
  readonly inputs: readonly ExportedValue[]
  readonly outputs: readonly ExportedValue[]
  readonly model: OnnxModel
}

/** How weights are kept. */
export interface Keeping {
  /** In the model's file, or in one of their own beside it. */
  readonly weights: 'inside' | 'beside'
  /** The same weights in half precision; absent where they stay float32. */
  readonly halves?: Readonly<Record<string, HostTensor>> | undefined
}

/** Tensors of more bytes than this lie beside a model. */
const besideAbove = 1024

const valuesOf = (values: Program['inputs']): ExportedValue[] =>
  Object.entries(values).map(([name, { dtype, shape }]) => ({
    name,
    dtype,
    shape: [batchName, ...shape.slice(1)],
  }))

/** @param traced the network as a program of B examples; of its outputs those of the given names are exported */
const exported = (
  name: string,
  traced: (B: number) => Program,
  outputs: readonly string[],
  { weights, halves }: Keeping,
): ExportedNetwork => {
  const only = (B: number): Program => {
    const program = traced(B)
    return { ...program, outputs: Object.fromEntries(outputs.map((key) => [key, program.outputs[key]])) }
  }
  const outside = weights === 'beside' && { outside: { file: `${name}.weights`, above: besideAbove } }
  const model = serializeAnyBatch(only, { target: 'standard', ...outside, ...(halves && { halves }) })
  const { inputs, outputs: made } = only(1)
  const read = Object.entries(inputs).filter(([key]) => !model.unused.has(key))
  return {
    file: `${name}.onnx`,
    inputs: valuesOf(Object.fromEntries(read)),
    outputs: valuesOf(made),
    model,
  }
}

/** Images `x` (and the noise `zDraw` of a learned variance) to clean latents `z`. */
export const exportedEncoder = (model: ModelConfig, weights: Weights, keeping: Keeping): ExportedNetwork =>
  exported('encoder', (B) => tracedEncoder(model, weights, B).program, ['z'], keeping)

/** What a step asks the decoder: the image `xHat` in [−1, 1] from x_t, its λ and the noisy latent `z0`. */
export const exportedDecoder = (model: ModelConfig, weights: Weights, keeping: Keeping): ExportedNetwork =>
  exported('decoder_step', (B) => tracedDecoderStep(model, weights, B).program, ['xHat'], keeping)

/** What a step asks the model that generates: the latent `xHat` from x_t, its λ and the conditions. */
export const exportedGenerator = (
  model: ModelConfig,
  weights: Weights,
  kind: GeneratorKind,
  keeping: Keeping,
): ExportedNetwork =>
  exported('base_step', (B) => tracedGeneratorStep(model, weights, B, kind).program, ['xHat'], keeping)
