/** @file A small run with random weights as `ul export` would have written it: tests of exports need no training. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { applySettings, presetByName, showConfig } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import { type Config, modelConfig } from '../../src/config/schema.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { exportOnnx, type OnnxExport, type OnnxOptions } from '../../src/export/exportOnnx.ts'
import type { Recipe } from '../../src/export/recipe.ts'
import { writeFileAtomic } from '../../src/files/atomic.ts'
import { encodeWeights, halvedWeights } from '../../src/model/exportedWeights.ts'
import { weightsFile, writeRunInfo } from '../../src/runs/runDirectory.ts'
import { type OpenedRun, openRun } from '../../src/use/openRun.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { randomParams, stage1Spec, stage2Spec } from '../method/support.ts'

export const runtime: NodeRuntime = new NodeRuntime({ threads: 1 })

export const classes: readonly string[] = ['Animals', 'Food & Drink', 'Flags']

const settings: readonly string[] = [
  ...['name=small', 'data.size=16', 'encoder.channels=[8, 16]', 'prior.width=32', 'decoder.channels=[8]'],
  ...['decoder.width=32', 'base.widths=[32, 32]', 'sampler.steps=4', 'sampler.decoderSteps=2'],
  ...['sampler.guidance=2', 'sampler.variance=0.2', 'sampler.guidanceLogSnr=[-4, 4]'],
]

/** Writes the run. Its figures are those of another model: as they are measured. */
const writeRun = (folder: string, config: Config): void => {
  mkdirSync(folder)
  const model = modelConfig(config, classes.length)
  writeFileSync(join(folder, 'config.yaml'), showConfig(config))
  writeRunInfo(folder, { version: 1, classes, trainCount: 8, validationCount: 2, skipped: [] })
  const weights = { ...randomParams(stage1Spec(model)), ...randomParams(stage2Spec(model)) }
  const path = join(folder, weightsFile)
  writeFileAtomic(path, encodeWeights(path, halvedWeights(folder, weights)))
  const shipped = fileURLToPath(new URL('../../pretrained/emoji64', import.meta.url))
  for (const name of ['evaluation.json', 'quality.json', 'provenance.json'])
    cpSync(join(shipped, name), join(folder, name))
}

/** A run of a test file, and what is exported of it. */
export interface SmallRun {
  /** Where all of it lies, and the run in it; removed when the test file ends. */
  readonly workFolder: string
  readonly runFolder: string
  opened(): OpenedRun
  /** Exports it into a folder of that name. */
  exportedTo(name: string, options?: Partial<OnnxOptions>): Promise<OnnxExport>
  /** The recipe of an export. */
  recipeIn(name: string): Recipe
}

/** @param preset that it is a small form of */
export const smallRun = async (preset = 'study'): Promise<SmallRun> => {
  const workFolder = await temporaryFolder()
  const runFolder = join(workFolder, 'run')
  writeRun(runFolder, applySettings(smokeForm(presetByName(preset)), settings))
  const opened = (): OpenedRun => openRun(runFolder, runtime)
  return {
    workFolder,
    runFolder,
    opened,
    exportedTo: (name, options) =>
      exportOnnx(opened(), runFolder, join(workFolder, name), {
        weights: 'inside',
        precision: 'float32',
        licence: 'Apache-2.0',
        ...options,
      }),
    recipeIn: (name) => JSON.parse(readFileSync(join(workFolder, name, 'model.json'), 'utf8')) as Recipe,
  }
}
