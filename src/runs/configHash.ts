/** @file What of a configuration is trained, and its hash: the same wherever a run is trained. */
import { type Config, checkConfig } from '../config/schema.ts'
import { sha256 } from '../stored/sha256.ts'
import type { FoundCheckpoint } from './checkpointFormat.ts'
import { runFiles } from './files.ts'

/**
 * Keys of `train` that may change between two invocations of the same run: they affect what is shown and how much memory is used,
 * not what is trained (recomputation and the parts of a batch change rounding only).
 */
export const freeKeys: ReadonlySet<string> = new Set([
  'recompute',
  'accumulate',
  'logEvery',
  'checkpointEvery',
  'keepCheckpoints',
  'sampleEvery',
])

/** What is trained, as text, in the schema's order of keys: whoever wrote the configuration may have had another. */
export const trainedPart = (config: Config): string => {
  const { sampler: _, train, ...rest } = checkConfig(config).data ?? config
  return JSON.stringify({
    ...rest,
    train: Object.fromEntries(Object.entries(train).filter(([key]) => !freeKeys.has(key))),
  })
}

/** Hash of everything that affects the trained weights. */
export const configHash = (config: Config): string => sha256(trainedPart(config)).slice(0, 16)

/** A configuration without the further stages that have not begun: a run may still gain them, or train them otherwise. */
export const asBegun = (config: Config, begun: readonly string[]): Config => {
  const { stages, ...train } = config.train
  const own = Object.entries(stages ?? {}).filter(([name]) => begun.includes(name))
  return own.length === 0
    ? { ...config, train }
    : { ...config, train: { ...train, stages: Object.fromEntries(own) } }
}

/** Hash of what trains a stage: of the further stages, which a run may still gain or train otherwise, only this one counts. */
export const stageHash = (config: Config, stage: string): string => configHash(asBegun(config, [stage]))

/**
 * What to say of a checkpoint that another configuration trained than a run's directory now holds; null where it is the same,
 * and of checkpoints without checksums, whose versions had other keys and so other hashes.
 * @param config of the run
 */
export const otherConfiguration = (
  dir: string,
  config: Config,
  { path, state, hasChecksums }: FoundCheckpoint,
): string | null => {
  const hash = stageHash(config, state.stage)
  if (!hasChecksums || state.configHash === hash) return null
  return `${path}: it was trained with another configuration (hash ${state.configHash}) than ${dir}/${runFiles.config} holds now (hash ${hash})`
}
