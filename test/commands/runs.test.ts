/** @file `ul runs` on runs whose files are written by hand: finished, half way, exported, damaged. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { applySettings, presetByName, showConfig } from '../../src/config/load.ts'
import { float32 } from '../../src/engine/host/tensor.ts'
import { saveCheckpoint } from '../../src/runs/checkpoint.ts'
import { writeFiles } from '../data/temporary.ts'
import { evaluationOf, qualityOf } from '../runs/written.ts'
import { jsonLines, ul, workFolder } from './ul.ts'

const config = applySettings(presetByName('quickstart'), ['train.stage1.steps=10', 'train.stage2.steps=20'])
const root = join(workFolder, 'listed')

const written = async (name: string, files: Readonly<Record<string, string>>): Promise<string> => {
  const dir = join(root, name)
  await writeFiles(dir, { 'config.yaml': showConfig({ ...config, name }), ...files })
  return dir
}

const save = (dir: string, stage: string, step: number): void => {
  const tensors = { 'ema/w': float32([1], [step]) }
  saveCheckpoint(dir, { stage, step, tensors, meta: { images: step, configHash: 'x' } }, 1)
}

await written('young', {})
const half = await written('half', {})
save(half, 'stage1', 10)
save(half, 'stage2', 7)
await written('done', {
  'evaluation.json': JSON.stringify(evaluationOf(0.4321, 23.456)),
  'quality.json': JSON.stringify(qualityOf(12.34, 56.78)),
})
await written('exported', { 'weights.safetensors': '' })
await written('damaged', { 'evaluation.json': '{"count": 2' })

it('tells steps, rate and distances of each run, and names the one that does not read', async () => {
  const { code, stdout, stderr } = await ul(['runs', root])
  expect(code).toBe(0)
  const cells = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(/ {2,}/))
  expect(cells[0]).toEqual(['run', 'name', 'steps', 'bits/pixel', 'PSNR', 'rFD', 'gFD'])
  expect(cells.slice(1)).toEqual([
    [join(root, 'done'), 'done', 'stage1 0/10, stage2 0/20', '0.432', '23.46', '12.3', '56.8'],
    [join(root, 'exported'), 'exported', 'exported', '–', '–', '–', '–'],
    [join(root, 'half'), 'half', 'stage1 10/10, stage2 7/20', '–', '–', '–', '–'],
    [join(root, 'young'), 'young', 'stage1 0/10, stage2 0/20', '–', '–', '–', '–'],
  ])
  expect(stderr).toMatch(/^warning: .*damaged.evaluation\.json/)
})

it('gives a line of JSON for each with --json, and every number whole', async () => {
  expect(jsonLines(await ul(['runs', '--json', join(root, 'half'), join(root, 'done')]))).toEqual([
    {
      ...{ event: 'run', run: half, name: 'half', exported: false },
      progress: { stage1: [10, 10], stage2: [7, 20] },
      ...{ bitsPerPixel: null, psnr: null, rFD: null, gFD: null },
    },
    expect.objectContaining({
      run: join(root, 'done'),
      bitsPerPixel: 0.4321,
      psnr: 23.456,
      rFD: 12.34,
      gFD: 56.78,
    }),
  ])
})

it('says so where there is none, and where there is no such directory', async () => {
  mkdirSync(join(workFolder, 'empty'))
  expect((await ul(['runs', 'empty'])).stdout).toBe('no runs in empty\n')
  const { code, stderr } = await ul(['runs'])
  expect(code).toBe(1)
  expect(stderr).toContain('runs: there is no such directory')
})
