/** @file Measures a finished run by features, taking over what the run that trained its stage 1 already knows. */
import type { Runtime } from '../engine/runtime/runtime.ts'
import type { Quality } from '../metrics/figures.ts'
import { configGuidance } from '../model/samplers.ts'
import { orWarn, warnInProcess } from '../runs/checked.ts'
import type { Listener } from '../runs/events.ts'
import { qualityIn } from '../runs/results.ts'
import { openRun, sharesFigures } from '../use/openRun.ts'
import { openTrainedData } from '../use/runData.ts'
import { forClips } from './features.ts'
import { measureQuality, openFeatures, type QualityOptions } from './quality.ts'

/** How to measure a run: by its own guidance where none is given. */
export interface MeasureOptions extends Omit<QualityOptions, 'guidance' | 'reconstructs' | 'generates'> {
  readonly guidance?: number
  /** Told what the data holds. */
  readonly listen?: Listener
  /** Whether figures of a shared stage 1 are taken from the run that trained it. */
  readonly reuse?: boolean
  /** Told of damage that is passed over. */
  readonly warn?: (text: string) => void
}

/** Measures a run by features. */
export const measureRun = async (
  dir: string,
  runtime: Runtime,
  options: MeasureOptions,
): Promise<Quality> => {
  const { guidance: scale, reuse = false, warn = warnInProcess, ...rest } = options
  const run = openRun(dir, runtime, warn)
  const { train: source } = await openTrainedData(dir, run, options)
  const guidance = configGuidance(run.config)
  const ofStage1 = sharesFigures(run, dir) ? orWarn(() => qualityIn(run.stage1Directory), warn) : null
  const { samples = rest.samples, seed = rest.seed } = ofStage1?.protocol ?? {}
  const known = reuse && samples === rest.samples && seed === rest.seed ? ofStage1 : null
  const measured = await measureQuality(run, source, {
    ...rest,
    guidance: { ...guidance, scale: scale ?? guidance.scale },
    reconstructs: known === null,
    generates: run.generates,
  })
  if (known === null) return measured
  if (known.protocol.network !== measured.protocol.network)
    return measureRun(dir, runtime, { ...options, reuse: false })
  const { reconstructionsOf } = known.protocol
  const protocol = reconstructionsOf === undefined ? {} : { reconstructionsOf }
  return {
    ...measured,
    protocol: { ...measured.protocol, ...protocol },
    reconstruction: known.reconstruction,
  }
}

/**
 * What the network says of itself by which a sweep measures.
 * @param frames of a clip, 1 for images
 * @throws when it does not open
 */
export const describeFeatures = async (features: string | undefined, frames: number): Promise<string> => {
  const { network } = await openFeatures(features, undefined)
  const text = forClips(network, frames).describe()
  await network.dispose()
  return text
}
