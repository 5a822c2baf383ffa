/** @file The model that comes with the package with fewer steps, opened and exported: tests of exports need no training. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { exportOnnx, type OnnxExport, type OnnxOptions } from '../../src/export/exportOnnx.ts'
import type { Recipe } from '../../src/export/recipe.ts'
import { type OpenedRun, openRun } from '../../src/use/openRun.ts'
import { temporaryFolder } from '../data/temporary.ts'

export const workFolder: string = await temporaryFolder()
export const runtime: NodeRuntime = new NodeRuntime({ threads: 1 })

/** Where the run lies. */
export const runFolder: string = join(workFolder, 'run')
cpSync(fileURLToPath(new URL('../../pretrained/emoji64', import.meta.url)), runFolder, { recursive: true })

const configFile = join(runFolder, 'config.yaml')
writeFileSync(configFile, readFileSync(configFile, 'utf8').replace(/^ {2}steps: 50$/m, '  steps: 4'))

/** The run. */
export const opened = (): OpenedRun => openRun(runFolder, runtime)

/** Exports it into a folder of that name. */
export const exportedTo = (name: string, options: Partial<OnnxOptions> = {}): Promise<OnnxExport> =>
  exportOnnx(opened(), runFolder, join(workFolder, name), {
    weights: 'inside',
    precision: 'float32',
    licence: 'Apache-2.0',
    ...options,
  })

/** The recipe of an export. */
export const recipeIn = (name: string): Recipe =>
  JSON.parse(readFileSync(join(workFolder, name, 'model.json'), 'utf8')) as Recipe
