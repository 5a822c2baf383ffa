/** @file What a configuration costs before anything is trained: parameters, FLOPs, latent shape, memory. */
import { type Config, modelConfig } from '../config/schema.ts'
import { sizeOf } from '../engine/host/tensor.ts'
import { bytesOf, peakIntermediateBytes } from '../engine/ir/cost.ts'
import { type Node, nodesOf } from '../engine/ir/graph.ts'
import { flattenSpec, type Spec } from '../engine/nn/params.ts'
import type { Device } from '../engine/runtime/runtime.ts'
import { imageOf, latentOf, type ModelConfig } from '../method/config.ts'
import { batchShape, elementsOf } from '../method/networks/shapes.ts'
import type { Objective } from '../train/objective.ts'
import type { StateProgram } from '../train/step.ts'
import { programsOf } from '../train/trainStep.ts'
import { stagesOf } from './list.ts'
import { expectShapes, traceLoss } from './possible.ts'
import type { Stage } from './stage.ts'
import { stageStep } from './stageStep.ts'

/** Cost of one network. */
export interface NetworkInfo {
  readonly network: string
  readonly parameters: number
  /** 10⁹ floating-point operations per image, forward (method.md section 6). */
  readonly gflopsForward: number
  /** Three times forward: per image of a training step. */
  readonly gflopsTraining: number
}

/** FLOPs of one stage's training step. */
export interface StageFlops {
  readonly stage: string
  readonly batch: number
  readonly gflopsPerStep: number
}

/** Cost of one stage's training step. */
export interface StageInfo extends StageFlops {
  /**
   * Parameters, what the optimiser keeps of them, the average, and the sums of a batch that comes in parts. On a GPU
   * next values lie beside the current ones until a program has ended; the CPU updates them where they lie.
   */
  readonly stateBytes: number
  /** What each part of a batch is fed: images or latents, noise, and what is given of clips. */
  readonly fedBytes: number
  /**
   * Intermediate tensors of a step as the runtime plans them; next values of the state are not among them. Each of its
   * programs keeps its own.
   */
  readonly intermediateBytes: number
  /** Peak memory of training: resident memory of the process on the CPU, device memory on a GPU. */
  readonly residentBytes: number
}

/** What Node and the library take, and what each node of a step does, traced and in a session (measured; docs/log.md). */
const [processBytes, nodeBytes] = [140 * 2 ** 20, 7 * 2 ** 10]

/** The process itself, with the programs of a step. */
const ownBytes = (programs: readonly StateProgram[]): number =>
  programs.reduce(
    (sum, { program }) => sum + nodeBytes * nodesOf(Object.values(program.outputs)).length,
    processBytes,
  )

/** What the networks of a configuration and the steps of its stages compute. */
export interface ModelFlops {
  readonly networks: readonly NetworkInfo[]
  readonly stages: readonly StageFlops[]
}

/** What `ul info` shows. */
export interface ModelInfo extends ModelFlops {
  readonly name: string
  readonly latentShape: readonly number[]
  /** Latent elements over image elements. */
  readonly compression: number
  readonly stages: readonly StageInfo[]
}

const flopsOf = (nodes: readonly Node[]): number => nodes.reduce((sum, n) => sum + (n.op.flops?.(n) ?? 0), 0)

/** Forward FLOPs of one example by the first part of the model path: encoder, prior, decoder, base. */
const forwardFlopsByNetwork = (objective: Objective): ReadonlyMap<string, number> => {
  const byNetwork = new Map<string, Node[]>()
  for (const node of nodesOf([traceLoss(objective)])) {
    const network = node.scope.split('/')[0]
    byNetwork.set(network, [...(byNetwork.get(network) ?? []), node])
  }
  return new Map([...byNetwork].map(([network, nodes]) => [network, flopsOf(nodes)]))
}

const countUnder = (spec: Spec, network: string): number =>
  flattenSpec(spec)
    .filter(({ path }) => path.startsWith(`${network}.`))
    .reduce((sum, entry) => sum + sizeOf(entry.spec.shape), 0)

/** Bytes of the state of a step that is held, and of the most that is replaced at once. */
const stateOf = (programs: readonly StateProgram[]): Readonly<Record<'held' | 'replaced', number>> => {
  const bytes = programs.map(({ program, updates }) =>
    Object.keys(updates).reduce((sum, name) => sum + bytesOf(program.inputs[name]), 0),
  )
  return { held: bytes.reduce((a, b) => a + b), replaced: Math.max(...bytes) }
}

/** Bytes of the inputs that are no state. */
const fedBytesOf = (programs: readonly StateProgram[]): number => {
  const states = new Set(programs.flatMap(({ updates }) => Object.keys(updates)))
  const fed = programs.flatMap(({ program: { inputs } }) =>
    Object.entries(inputs).flatMap(([name, value]) => (states.has(name) ? [] : [bytesOf(value)])),
  )
  return fed.reduce((sum, bytes) => sum + bytes, 0)
}

const intermediateBytesOf = ({ program, updates }: StateProgram): number => {
  const nextStates = new Set(Object.values(updates).map((name) => program.outputs[name]))
  return peakIntermediateBytes(Object.values(program.outputs), nextStates)
}

/** A network with its forward FLOPs for one example. */
interface CountedNetwork {
  readonly network: string
  readonly parameters: number
  readonly flops: number
}

/** Networks that were counted: who compares runs asks for the same ones often, and each answer takes two traces. */
const counted = new Map<string, readonly CountedNetwork[]>()

/** The networks that a stage trains. */
const networksOf = (model: ModelConfig, { name, networks, objective }: Stage): readonly CountedNetwork[] => {
  const key = JSON.stringify([name, model])
  const known = counted.get(key)
  if (known !== undefined) return known
  const one = objective(model, 1)
  const flops = forwardFlopsByNetwork(one)
  const found = networks.map((network) => ({
    network,
    parameters: countUnder(one.spec, network),
    flops: flops.get(network) ?? 0, // a normal prior (variant.prior) has no network
  }))
  counted.set(key, found)
  return found
}

const networkInfo = ({ network, parameters, flops }: CountedNetwork): NetworkInfo => {
  const gflopsForward = flops / 1e9
  return { network, parameters, gflopsForward, gflopsTraining: 3 * gflopsForward }
}

/** FLOPs of a stage's step. @param classes number of classes of the data */
export const stageFlops = (config: Config, stage: Stage, classes: number): StageFlops => {
  const { batch } = stage.settings(config)
  const networks = networksOf(modelConfig(config, classes), stage)
  const perExample = networks.reduce((sum, { flops }) => sum + flops, 0)
  return { stage: stage.name, batch, gflopsPerStep: (3 * perExample * batch) / 1e9 }
}

/** FLOPs of all steps of a stage. @param classes number of classes of the data */
export const trainingFlops = (config: Config, stage: Stage, classes: number): number =>
  1e9 * stageFlops(config, stage, classes).gflopsPerStep * stage.settings(config).steps

/** What the step of a stage holds. */
const stageMemory = (
  config: Config,
  stage: Stage,
  classes: number,
  device: Device,
): Omit<StageInfo, keyof StageFlops> => {
  const programs = programsOf(stageStep(config, modelConfig(config, classes), stage).step)
  const { held, replaced } = stateOf(programs)
  const onCpu = device === 'cpu'
  const stateBytes = held + (onCpu ? 0 : replaced)
  const fedBytes = fedBytesOf(programs)
  const intermediateBytes = programs.reduce((sum, program) => sum + intermediateBytesOf(program), 0)
  return {
    stateBytes,
    fedBytes,
    intermediateBytes,
    residentBytes: (onCpu ? ownBytes(programs) : 0) + stateBytes + fedBytes + intermediateBytes,
  }
}

/** FLOPs of a configuration, from its networks alone: no training step is traced. @param classes number of classes of the data */
export const modelFlops = (config: Config, classes: number): ModelFlops => {
  const model = modelConfig(config, classes)
  const own = stagesOf(config)
  // By name: a stage may train on what an earlier one trained.
  const networks = new Map(
    own.flatMap((stage) => networksOf(model, stage).map((one) => [one.network, networkInfo(one)] as const)),
  )
  return {
    networks: [...networks.values()],
    stages: own.map((stage) => stageFlops(config, stage, classes)),
  }
}

/** Costs of a stage of a configuration. @param classes number of classes of the data */
export const stageCost = (
  config: Config,
  stage: Stage,
  classes: number,
  device: Device = 'cpu',
): StageInfo => {
  return { ...stageFlops(config, stage, classes), ...stageMemory(config, stage, classes, device) }
}

/**
 * Costs of a configuration, by tracing alone; nothing is allocated or run.
 * @param classes number of classes of the data
 * @param device where it shall be trained, which decides how often the state is held
 */
export const describeModel = (config: Config, classes: number, device: Device = 'cpu'): ModelInfo => {
  expectShapes(config)
  const model = modelConfig(config, classes)
  const latent = latentOf(model)
  return {
    name: config.name,
    latentShape: batchShape(latent, 1).slice(1),
    compression: elementsOf(latent) / elementsOf(imageOf(model)),
    networks: modelFlops(config, classes).networks,
    stages: stagesOf(config).map((stage) => stageCost(config, stage, classes, device)),
  }
}
