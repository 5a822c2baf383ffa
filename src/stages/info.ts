/** @file What a configuration costs before anything is trained: parameters, FLOPs, latent shape, memory. */
import { type Config, modelConfig } from '../config/schema.ts'
import { sizeOf } from '../engine/host/tensor.ts'
import { bytesOf, peakIntermediateBytes } from '../engine/ir/cost.ts'
import { type Node, nodesOf, type Value } from '../engine/ir/graph.ts'
import { flattenSpec, type Spec } from '../engine/nn/params.ts'
import type { Device } from '../engine/runtime/runtime.ts'
import { latentShape, stage1Objective } from '../method/stage1.ts'
import { stage2Objective } from '../method/stage2.ts'
import { type Objective, traceTrainStep } from '../train/step.ts'
import { expectShapes, traceLoss } from './possible.ts'
import { optimizerOf } from './stage.ts'

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
   * Parameters, two moments and the average. On a GPU twice: a step's next values lie beside the current ones until it
   * has ended; the CPU updates them where they lie.
   */
  readonly stateBytes: number
  /** Intermediate tensors of a step as the runtime plans them; next values of the state are not among them. */
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
const forwardFlopsByNetwork = (objective: Objective): Map<string, number> => {
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

const stageInfo = (
  config: Config,
  objective: Objective,
  batch: number,
  flopsPerExample: number,
  device: Device,
): StageInfo => {
  const { program, updates } = traceTrainStep(objective, optimizerOf(config))
  const nextStates = new Set(Object.values(updates).map((name) => program.outputs[name]!))
  const state = Object.values(program.inputs).filter((v: Value) =>
    /^(param|moment1|moment2|ema)\//.test(v.name),
  )
  const onCpu = device === 'cpu'
  const stateBytes = (onCpu ? 1 : 2) * state.reduce((sum, v) => sum + bytesOf(v), 0)
  const intermediateBytes = peakIntermediateBytes(Object.values(program.outputs), nextStates)
  return {
    stage: objective.name,
    batch,
    gflopsPerStep: (3 * flopsPerExample * batch) / 1e9,
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
  const [one, two] = [stage1Objective(model, 1), stage2Objective(model, 1)]
  const flops = new Map([...forwardFlopsByNetwork(one), ...forwardFlopsByNetwork(two)])
  const networks = ['encoder', 'prior', 'decoder', 'base'].map((network) => {
    const gflops = (flops.get(network) ?? 0) / 1e9 // a normal prior (variant.prior) has no network
    const parameters = countUnder(network === 'base' ? two.spec : one.spec, network)
    return { network, parameters, gflopsForward: gflops, gflopsTraining: 3 * gflops }
  })
  const [, c, h, w] = latentShape(model, 1) as [number, number, number, number]
  const { batch, stage2 } = config.train
  const sum = (...names: string[]): number => names.reduce((n, name) => n + (flops.get(name) ?? 0), 0)
  return {
    name: config.name,
    latentShape: [c, h, w],
    compression: (c * h * w) / (3 * config.data.size ** 2),
    networks,
    stages: [
      stageInfo(config, stage1Objective(model, batch), batch, sum('encoder', 'prior', 'decoder'), device),
      stageInfo(config, stage2Objective(model, stage2.batch), stage2.batch, sum('base'), device),
    ],
  }
}
