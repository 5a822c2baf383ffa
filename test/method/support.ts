/** @file What the method's tests share: the tiny configuration of tools/golden.py, golden files and running a program once. */
import { fileURLToPath } from 'node:url'
import { wholeBatch } from '../../src/engine/host/part.ts'
import { fillNormal, streamKey } from '../../src/engine/host/random.ts'
import { float32, floats, type HostTensor, type Shape, sizeOf } from '../../src/engine/host/tensor.ts'
import type { EmissionTarget, Value } from '../../src/engine/ir/graph.ts'
import { checkProgram, type InputSpec, type Program, trace } from '../../src/engine/ir/program.ts'
import { bindNetworks, type LookUp } from '../../src/engine/nn/network.ts'
import { flattenSpec, type Spec } from '../../src/engine/nn/params.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { Executable } from '../../src/engine/runtime/runtime.ts'
import { readSafetensors } from '../../src/files/safetensors.ts'
import { autoencoderNetworks, autoencoderObjective, autoencoderTerms } from '../../src/method/autoencoder.ts'
import { baseObjective, conditionedBase } from '../../src/method/baseModel.ts'
import type { StepInputs } from '../../src/method/chain.ts'
import {
  baseConfig,
  encoderConfig,
  imageOf,
  latentOf,
  type ModelConfig,
  partConfig,
} from '../../src/method/config.ts'
import type { Draw } from '../../src/method/diffusion/draws.ts'
import type { Base, BaseConfig } from '../../src/method/networks/base.ts'
import { type Decoder, decoderNetwork } from '../../src/method/networks/decoder.ts'
import type { EncoderConfig } from '../../src/method/networks/encoder.ts'
import { batchShape } from '../../src/method/networks/shapes.ts'
import type { PartConfig } from '../../src/method/objective/parts.ts'
import { noVariant, type VariantConfig } from '../../src/method/variants.ts'

/** Two convolutional levels, two blocks per transformer: the smallest model in which every part occurs. */
export const tinyConfig: ModelConfig = {
  size: 16,
  frames: 1,
  classes: 3,
  latent: { channels: 4, downsample: 8, logSnr0: 5, logSnr1: -10 },
  encoder: { patch: 2, channels: [8, 16], blocks: 1, lastBlocks: 1 },
  prior: { width: 16, blocks: 2, headWidth: 8 },
  decoder: {
    patch: 2,
    channels: [8, 16],
    convBlocks: 1,
    width: 16,
    blocks: 2,
    headWidth: 8,
    dropout: 0,
    lossFactor: 1.5,
    bias: 2.8,
  },
  base: { widths: [16, 24], blocks: [2, 2], headWidth: 8, dropout: 0, bias: 1, labelDropout: 0.1 },
  variant: noVariant,
  recompute: false,
}

/** The smallest model with departures from the method. */
export const withVariant = (variant: Partial<VariantConfig>): ModelConfig => ({
  ...tinyConfig,
  variant: { ...noVariant, ...variant },
})

/** The paper's ImageNet-512 architecture (method.md section 5). */
export const paperConfig: ModelConfig = {
  size: 512,
  frames: 1,
  classes: 1000,
  latent: { channels: 32, downsample: 16, logSnr0: 5, logSnr1: -10 },
  encoder: { patch: 2, channels: [128, 256, 512, 512], blocks: 2, lastBlocks: 3 },
  prior: { width: 1024, blocks: 8, headWidth: 64 },
  decoder: {
    patch: 2,
    channels: [128, 256, 512],
    convBlocks: 2,
    width: 1024,
    blocks: 8,
    headWidth: 64,
    dropout: 0.1,
    lossFactor: 1.5,
    bias: -3,
  },
  base: { widths: [512, 1024], blocks: [6, 16], headWidth: 64, dropout: 0.1, bias: -3, labelDropout: 0.1 },
  variant: noVariant,
  recompute: false,
}

/** Named tensors. */
export type Tensors = Readonly<Record<string, HostTensor>>

/** The tensors of a golden file made by tools/golden.py. */
export const readGolden = (name: string): Tensors =>
  readSafetensors(fileURLToPath(new URL(`../golden/${name}.safetensors`, import.meta.url))).tensors

/** The tensors whose names start with `kind/`, under the rest of their names. */
export const under = (tensors: Tensors, kind: string): Record<string, HostTensor> =>
  Object.fromEntries(
    Object.entries(tensors)
      .filter(([name]) => name.startsWith(`${kind}/`))
      .map(([name, t]) => [name.slice(kind.length + 1), t]),
  )

const runtimes: Readonly<Record<EmissionTarget, NodeRuntime>> = {
  cpu: new NodeRuntime({ threads: 1 }),
  any: new NodeRuntime({ threads: 1, target: 'any' }),
  standard: new NodeRuntime({ threads: 1, target: 'standard' }),
}

/** Checks, compiles and runs a program once. */
export const runOnce = async (
  program: Program,
  feeds: Tensors,
  target: EmissionTarget = 'cpu',
): Promise<Record<string, HostTensor>> => {
  checkProgram(program)
  const executable = await runtimes[target].compile(program)
  try {
    return await executable.run(feeds)
  } finally {
    await executable.dispose()
  }
}

/** A traced function of parameters and inputs. */
type Body = (
  lookUp: (path: string) => Value,
  inputs: Readonly<Record<string, Value>>,
) => Readonly<Record<string, Value>>

const traced = (spec: Spec, inputs: Readonly<Record<string, InputSpec>>, body: Body): Program => {
  const specs: Record<string, InputSpec> = { ...inputs }
  for (const { path, spec: leaf } of flattenSpec(spec)) specs[path] = { shape: leaf.shape }
  return trace('evaluate', specs, (all) => body((path) => all[path], all))
}

/** Traces a function of parameters and inputs, and runs it once with the given tensors. */
export const evaluate = (
  spec: Spec,
  params: Tensors,
  feeds: Tensors,
  body: Body,
): Promise<Record<string, HostTensor>> => runOnce(traced(spec, feeds, body), { ...params, ...feeds })

/** The same to be run often, on tensors of these types. */
export const compiled = (
  spec: Spec,
  inputs: Readonly<Record<string, InputSpec>>,
  body: Body,
): Promise<Executable> => {
  const program = traced(spec, inputs, body)
  checkProgram(program)
  return runtimes.cpu.compile(program)
}

/** Standard normal numbers that depend on the name alone, times `scale`. */
export const normal = (name: string, shape: Shape, scale = 1): HostTensor => {
  const data = new Float32Array(sizeOf(shape))
  fillNormal(data, streamKey(1, name))
  return float32(
    shape,
    data.map((x) => x * scale),
  )
}

/** Parameters of which none is zero: weights as they start, everything that starts at zero small and random. */
export const randomParams = (spec: Spec): Record<string, HostTensor> =>
  Object.fromEntries(
    flattenSpec(spec).map(({ path, spec: { shape, std } }) => [
      path,
      normal(path, shape, std === 0 ? 0.1 : std),
    ]),
  )

/** ‖a − b‖ / ‖b‖, with ‖a‖ where b is zero. */
export const relativeError = (
  a: HostTensor | ArrayLike<number>,
  b: HostTensor | ArrayLike<number>,
): number => {
  const [x, y] = [a, b].map((t) => ('dtype' in t ? floats(t) : t)) as [ArrayLike<number>, ArrayLike<number>]
  if (x.length !== y.length) return Number.POSITIVE_INFINITY
  let difference = 0
  let size = 0
  for (let i = 0; i < x.length; i++) {
    difference += (x[i] - y[i]) ** 2
    size += y[i] ** 2
  }
  return Math.sqrt(difference / (size === 0 ? 1 : size))
}

/** The names whose tensors differ from the expected ones by more than `tolerance`, with their errors. */
export const mismatches = (actual: Tensors, expected: Tensors, tolerance: number): Record<string, number> => {
  const errors: Record<string, number> = {}
  for (const [name, tensor] of Object.entries(expected)) {
    const found = actual[name]
    const error = found === undefined ? Number.POSITIVE_INFINITY : relativeError(found, tensor)
    if (!(error <= tolerance)) errors[name] = error
  }
  return errors
}

/** ∫₀¹ f(t) dt by Simpson's rule. */
export const integrate = (f: (t: number) => number, intervals = 4000): number => {
  let sum = f(0) + f(1)
  for (let i = 1; i < intervals; i++) sum += (i % 2 === 1 ? 4 : 2) * f(i / intervals)
  return sum / (3 * intervals)
}

/** The sizes of all four networks of a model. */
export const networkConfigs = (
  model: ModelConfig,
): Pick<PartConfig, 'prior' | 'decoder'> & {
  readonly encoder: EncoderConfig
  readonly base: BaseConfig
} => {
  const { prior, decoder } = partConfig(model)
  return { prior, decoder, encoder: encoderConfig(model), base: baseConfig(model) }
}

/** Parameters of stage 1 and of stage 2. */
export const stage1Spec = (model: ModelConfig): Spec => autoencoderObjective(model, 1).spec
export const stage2Spec = (model: ModelConfig): Spec => baseObjective(model, 1).spec

/** Shapes of B images and of B latents. */
export const imageShape = (model: ModelConfig, B: number): Shape => batchShape(imageOf(model), B)
export const latentShape = (model: ModelConfig, B: number): Shape => batchShape(latentOf(model), B)

/** Draws of a whole batch in training. */
export const wholeDraw = (seed: number, step: number, B: number): Draw => ({
  seed,
  step,
  purpose: 'training',
  part: wholeBatch(B),
})

/** A tensor of a record that must be there. */
const held = <T>(record: Readonly<Record<string, T>>, name: string): T => {
  const found = record[name]
  if (found === undefined) throw new Error(`there is no '${name}' among ${Object.keys(record).join(', ')}`)
  return found
}

/** Terms of the stage-1 objective per example, in nats. */
export type Stage1Terms = Readonly<
  Record<'priorNats' | 'terminalNats' | 'decoderNats' | 'totalNats' | 'rateElements' | 'z', Value>
>

/** The stage-1 objective without dropout; an encoder without a variance of its own reads no `zDraw`. */
export const stage1Terms = (
  model: ModelConfig,
  lookUp: LookUp,
  inputs: Readonly<Record<string, Value>>,
): Stage1Terms => {
  const { rate, distortion, total, z } = autoencoderTerms(bindNetworks(autoencoderNetworks(model), lookUp), {
    x: held(inputs, 'x'),
    zEps: held(inputs, 'zEps'),
    z0Eps: held(inputs, 'z0Eps'),
    xEps: held(inputs, 'xEps'),
    zDraw: inputs.zDraw ?? held(inputs, 'zEps'),
    z0LogSnr: held(inputs, 'z0LogSnr'),
    zLogSnr: held(inputs, 'zLogSnr'),
    zWeight: held(inputs, 'zWeight'),
    xLogSnr: held(inputs, 'xLogSnr'),
    xWeight: held(inputs, 'xWeight'),
    encoderShare: held(inputs, 'encoderShare'),
  })
  return {
    priorNats: rate.diffusion,
    terminalNats: rate.rest,
    decoderNats: distortion,
    totalNats: total,
    rateElements: rate.elements,
    z,
  }
}

/** The stage-2 objective per example, in nats. */
export const stage2Nats = (
  model: ModelConfig,
  lookUp: LookUp,
  inputs: Readonly<Record<string, Value>>,
): Value =>
  held(baseObjective(model, held(inputs, 'z').shape[0] ?? 1).trace(lookUp, inputs).report, 'baseNats')

/** The inputs of a denoising step among others. */
export const stepOf = (
  inputs: Readonly<Record<string, Value>>,
): StepInputs & Readonly<Record<string, Value>> => ({
  ...inputs,
  xT: held(inputs, 'xT'),
  before: held(inputs, 'before'),
  eps: held(inputs, 'eps'),
  logSnr: held(inputs, 'logSnr'),
  keep: held(inputs, 'keep'),
  clean: held(inputs, 'clean'),
  past: held(inputs, 'past'),
  noise: held(inputs, 'noise'),
})

/** The decoder of stage 1, v̂ of the image. */
export const decoderOf = (model: ModelConfig, lookUp: LookUp): Decoder =>
  decoderNetwork(networkConfigs(model).decoder).bind(lookUp, 'decoder')

/** The base model with its conditions. */
export const baseOf = (model: ModelConfig, lookUp: LookUp): Base =>
  conditionedBase(model).bind(lookUp, 'base')
