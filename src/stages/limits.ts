/** @file Whether the tensors of training fit the device, said before the first stage is trained. */
import { ConfigError } from '../config/load.ts'
import { type Config, modelConfig } from '../config/schema.ts'
import { sizeOf } from '../engine/host/tensor.ts'
import { bytesOf } from '../engine/ir/cost.ts'
import type { Value } from '../engine/ir/graph.ts'
import { showDevice, showMebibytes, showValue, tooLarge } from '../engine/runtime/limits.ts'
import type { DeviceLimits } from '../engine/runtime/runtime.ts'
import { programsOf, type TracedStep } from '../train/trainStep.ts'
import type { Stage } from './stage.ts'
import { stageStep } from './stageStep.ts'

/** What does not fit of a stage's step: the step, and its largest tensor. */
interface Excess {
  readonly step: TracedStep
  readonly value: Value
}

/** How a stage is trained. */
interface How {
  readonly classes: number
  /** Among how many processes its batch is shared; 1 when absent. */
  readonly processes?: number
  readonly limits: DeviceLimits
}

const excessOf = (config: Config, stage: Stage, { classes, processes, limits }: How): Excess | null => {
  const { step } = stageStep(config, modelConfig(config, classes), stage, processes)
  const value = tooLarge(
    programsOf(step).map(({ program }) => program),
    limits,
  )
  return value === null ? null : { step, value }
}

/** The tensor as its owner knows it: a slab of the state by the largest parameter in it. */
const ownName = ({ step, value }: Excess): string => {
  const [, copy, slab] = /^(\w+)\/(\d+)$/.exec(value.name) ?? []
  if (copy === undefined) return showValue(value)
  const [largest] = [...step.layout.slabs[Number(slab)].entries].sort(
    (a, b) => sizeOf(b.shape) - sizeOf(a.shape),
  )
  return `${largest.path} [${largest.shape}]`
}

/** The fewest parts of a stage's batch with which it fits; none where none does. @param bytes of its largest tensor now */
const fittingParts = (config: Config, stage: Stage, how: How, bytes: number): number | undefined => {
  const { batch } = stage.settings(config)
  const now = config.train.accumulate ?? 1
  // What has the batch as an axis falls as parts rise; nothing falls faster.
  const least = Math.ceil((now * bytes) / how.limits.tensorBytes)
  for (let parts = Math.max(now + 1, least); parts <= batch; parts++) {
    if (batch % (parts * (how.processes ?? 1)) !== 0) continue
    const inParts = { ...config, train: { ...config.train, accumulate: parts } }
    if (excessOf(inParts, stage, how) === null) return parts
  }
  return undefined
}

/**
 * Compares the largest tensor of each stage's training step with what the device takes: state, feeds, and what the step makes.
 * Parameters are not cut to fit, because products need them whole.
 * @param stages those that will be trained
 * @returns one sentence for each that may not fit, where only the least that a device must take is known
 * @throws ConfigError naming the tensor, the limit and what to set, where the device is known to take less
 */
export const limitWarnings = (
  config: Config,
  stages: readonly Stage[],
  { limits, ...shared }: Omit<How, 'limits'> & { readonly limits: DeviceLimits | null },
): string[] => {
  if (limits === null) return []
  const how = { ...shared, limits }
  return stages.flatMap((stage) => {
    const excess = excessOf(config, stage, how)
    if (excess === null) return []
    const bytes = bytesOf(excess.value)
    const parts = fittingParts(config, stage, how, bytes)
    const cure =
      parts === undefined
        ? 'narrower networks or smaller images'
        : `train.accumulate=${parts} or a smaller batch`
    const found = `the largest tensor of ${stage.name}, ${ownName(excess)}, takes ${showMebibytes(bytes)}`
    const most = showMebibytes(limits.tensorBytes)
    if (limits.adapter !== null)
      throw new ConfigError(`${found}, but ${showDevice(limits)} takes ${most} at most; set ${cure}`)
    return [
      `${found}, and what this device takes is not known: ${showDevice(limits)} promises ${most} only; if the step fails, set ${cure}`,
    ]
  })
}
