/** @file What a configuration costs before anything is trained: parameters, FLOPs, latent shape, memory. */
import { type Config, modelConfig } from '../config/schema.ts'
import { sizeOf } from '../engine/host/tensor.ts'
import { bytesOf, peakIntermediateBytes } from '../engine/ir/cost.ts'
import { type Node, nodesOf } from '../engine/ir/graph.ts'
import { flattenSpec, type Spec } from '../engine/nn/params.ts'
import type { Device } from '../engine/runtime/runtime.ts'
import { imageOf, latentOf } from '../method/config.ts'
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

/** Cost of one stage's training step. */
export interface StageInfo {
  readonly stage: string
  readonly batch: number
  readonly gflopsPerStep: number
  /**
   * Parameters, what the optimiser keeps of them, the average, and the sums of a batch that comes in parts. On a GPU
   * next values lie beside the current ones until a program has ended; the CPU updates them where they lie.
   */
  readonly stateBytes: number
  /**
   * Intermediate tensors of a step as the runtime plans them; next values of the state are not among them. Each of its
   * programs keeps its own.
   */
  readonly intermediateBytes: number
  /** Peak memory of training: resident memory of the process on the CPU, device memory on a GPU. */
  readonly residentBytes: number
}

/** What Node, the library and a session's own structures take (measured). */
const processBytes = 150 * 2 ** 20

/** What `ul info` shows. */
export interface ModelInfo {
  readonly name: string
  readonly latentShape: readonly number[]
  /** Latent elements over image elements. */
  readonly compression: number
  readonly networks: readonly NetworkInfo[]
  readonly stages: readonly StageInfo[]
}

const flopsOf = (nodes: readonly Node[]): number => nodes.reduce((sum, n) => sum + (n.op.flops?.(n) ?? 0), 0)

/** Forward FLOPs of one example by the first part of the model path: encoder, prior, decoder, base. */
const forwardFlopsByNetwork = (objective: Objective): ReadonlyMap<string, number> => {
  const byNetwork = new Map<string, Node[]>()
  for (const node of nodesOf([traceLoss(objective)])) {
    const network = node.scope.split('/')[0]!
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

const intermediateBytesOf = ({ program, updates }: StateProgram): number => {
  const nextStates = new Set(Object.values(updates).map((name) => program.outputs[name]))
  return peakIntermediateBytes(Object.values(program.outputs), nextStates)
}

/** Costs of a stage of a configuration. @param classes number of classes of the data */
export const stageCost = (
  config: Config,
  stage: Stage,
  classes: number,
  device: Device = 'cpu',
): StageInfo => {
  const model = modelConfig(config, classes)
  const { batch } = stage.settings(config)
  const flops = forwardFlopsByNetwork(stage.objective(model, 1))
  const perExample = stage.networks.reduce((n, network) => n + (flops.get(network) ?? 0), 0)
  const programs = programsOf(stageStep(config, model, stage).step)
  const { held, replaced } = stateOf(programs)
  const onCpu = device === 'cpu'
  const stateBytes = held + (onCpu ? 0 : replaced)
  const intermediateBytes = programs.reduce((sum, program) => sum + intermediateBytesOf(program), 0)
  return {
    stage: stage.name,
    batch,
    gflopsPerStep: (3 * perExample * batch) / 1e9,
    stateBytes,
    intermediateBytes,
    residentBytes: (onCpu ? processBytes : 0) + stateBytes + intermediateBytes,
  }
}

/**
 * Costs of a configuration, by tracing alone; nothing is allocated or run.
 * @param classes number of classes of the data
 * @param device where it shall be trained, which decides how often the state is held
 */
export const describeModel = (config: Config, classes: number, device: Device = 'cpu'): ModelInfo => {
  expectShapes(config)
  const model = modelConfig(config, classes)
  const own = stagesOf(config)
  const networks = own.flatMap((stage) => {
    const one = stage.objective(model, 1)
    const flops = forwardFlopsByNetwork(one)
    return stage.networks.map((network) => {
      const gflops = (flops.get(network) ?? 0) / 1e9 // a normal prior (variant.prior) has no network
      return {
        network,
        parameters: countUnder(one.spec, network),
        gflopsForward: gflops,
        gflopsTraining: 3 * gflops,
      }
    })
  })
  const latent = latentOf(model)
  return {
    name: config.name,
    latentShape: batchShape(latent, 1).slice(1),
    compression: elementsOf(latent) / elementsOf(imageOf(model)),
    networks,
    stages: own.map((stage) => stageCost(config, stage, classes, device)),
  }
}
