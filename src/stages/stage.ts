/** @file What a stage of training is: everything that tells one from another, as a value. */
import type { Config } from '../config/schema.ts'
import type { ImageSource } from '../data/images/source.ts'
import type { Collective } from '../distributed/collective.ts'
import type { Part } from '../engine/host/part.ts'
import { floats, type HostTensor } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import type { ModelConfig } from '../method/config.ts'
import type { Listener } from '../runs/events.ts'
import type { Weights } from '../train/frozen.ts'
import type { Objective } from '../train/objective.ts'
import type { RunStore } from './store.ts'

/** Tensors that a step is fed, by name. */
export type Feeds = Readonly<Record<string, HostTensor>>

/** What every stage needs of its run. */
export interface StageContext {
  readonly config: Config
  readonly model: ModelConfig
  /** Of training steps, which are taken to their end. */
  readonly runtime: Runtime
  /** Of all else: what runs there is left once `signal` is aborted, by throwing its reason. */
  readonly leaving: Runtime
  /** The run's directory, or what else it is called in messages. */
  readonly dir: string
  readonly store: RunStore
  /** Training images, and a few held-out ones [N, 3, H, W] to show progress by. */
  readonly source: ImageSource
  readonly shown: HostTensor
  readonly listen: Listener
  /** The processes that train together: all take the steps, the leader alone writes. */
  readonly together: Collective
  /** Tells of damage that is passed over, of each only once. */
  readonly warn: (text: string) => void
  readonly signal: AbortSignal
}

/** How long and how fast a stage trains. */
export interface StageSettings {
  readonly steps: number
  readonly batch: number
  readonly lr: number
  readonly emaDecay: number
}

/** A curve of a stage in the report. */
export interface StageCurve {
  readonly title: string
  /** Name in the log of the run's metrics. */
  readonly metric: string
  readonly unit: string
  readonly logY?: boolean
}

/** A stage at work on a run. */
export interface OpenStage {
  /** Hash of what it is trained on besides the configuration, where that can change under it. */
  readonly trainedOn?: string
  /** What its networks start from, where that is not drawn anew. */
  readonly start?: Weights
  /** What is fed for a part of a step's batch: a pure function of both. */
  feeds(step: number, part: Part): Promise<Feeds>
  /** Metrics of one step from what its objective reports, averaged until the next line of progress. */
  metrics(outputs: Feeds): Readonly<Record<string, number>>
  /** Called at intervals with the averaged weights; returns metrics to log. */
  inspect(weights: Weights, step: number): Promise<Readonly<Record<string, number>>>
  /** A warning in words when the averaged metrics look bad. */
  warning(metrics: Readonly<Record<string, number>>, step: number): string | null
  close(): Promise<void>
}

/** One stage of training. All of them are listed in list.ts, in the order in which they are trained. */
export interface Stage {
  /** Names its checkpoints and metrics; names sort in the order of training. */
  readonly name: string
  /** How `--stage` spells it. */
  readonly flag: string
  /** The networks that it trains, by the first part of their parameters' paths. */
  readonly networks: readonly string[]
  /** Whether a configuration has it at all. */
  applies(config: Config): boolean
  /** Whether a run of this configuration trains it, rather than taking it from another. */
  trains(config: Config): boolean
  settings(config: Config): StageSettings
  objective(model: ModelConfig, batch: number): Objective
  /** Feeds of a part of a step's batch on made-up data, for measuring what a step costs. */
  madeUpFeeds(model: ModelConfig, batch: number, seed: number): (step: number, part: Part) => Feeds
  /** What the report shows of it. */
  readonly curves: readonly StageCurve[]
  /** Makes it ready for a run; earlier stages are trained by then. @throws when one of them was never saved */
  open(context: StageContext): Promise<OpenStage>
}

/** Mean of a per-example output. */
export const meanOf = (tensor: HostTensor): number => {
  const data = floats(tensor)
  return data.reduce((a, b) => a + b, 0) / data.length
}

/** Root mean square of the whole batch from those of its parts, one number for each. */
export const rmsOf = (tensor: HostTensor): number => {
  const data = floats(tensor)
  return Math.sqrt(data.reduce((sum, rms) => sum + rms * rms, 0) / data.length)
}
