/** @file Runs by Muon: what is chosen by name, what their checkpoints hold, how they resume, and what is refused. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { applySettings, ConfigError, parseConfig, presetByName, showConfig } from '../../src/config/load.ts'
import { type Config, modelConfig } from '../../src/config/schema.ts'
import { type HostTensor, sizeOf } from '../../src/engine/host/tensor.ts'
import { flattenSpec } from '../../src/engine/nn/params.ts'
import { serialize } from '../../src/engine/onnx/serialize.ts'
import { latestCheckpoint, loadCheckpoint } from '../../src/runs/checkpoint.ts'
import { configHash } from '../../src/runs/configHash.ts'
import { describeModel } from '../../src/stages/info.ts'
import { stagesOf } from '../../src/stages/list.ts'
import { stageStep } from '../../src/stages/stageStep.ts'
import { programsOf } from '../../src/train/trainStep.ts'
import { runDir, tinyConfigOf, trainTiny } from './tinyRun.ts'

const byMuon = (config: Config): Config => applySettings(config, ['train.optimizer=muon'])

/** Layers that read or write pixels and latents, and tables of conditions. */
const ends = [
  ...['encoder.in.weight', 'encoder.out.weight', 'prior.in.weight', 'prior.out.weight'],
  ...['decoder.in.weight', 'decoder.latent.weight', 'decoder.out.weight'],
  ...['base.in.weight', 'base.out.weight', 'base.classes', 'base.mirror'],
]

describe('train.optimizer', () => {
  const config = applySettings(presetByName('study'), ['base.conditions=[classes, mirror]'])
  const model = modelConfig(config, 9)

  it('is AdamW where it is left out, as in the presets but the main job', () => {
    expect('optimizer' in config.train).toBe(false)
    expect(showConfig(config)).not.toContain('optimizer')
    const named = applySettings(config, ['train.optimizer=adamw'])
    for (const stage of stagesOf(config)) {
      const [absent, adamw] = [config, named].map((own) =>
        programsOf(stageStep(own, model, stage).step).map(({ program }) =>
          Buffer.from(serialize(program).bytes).toString('base64'),
        ),
      )
      expect(adamw).toEqual(absent)
    }
  })

  it('is trained: it comes back from YAML, changes the hash, and no other name is one', () => {
    const own = byMuon(config)
    expect(parseConfig(showConfig(own), 'shown.yaml')).toEqual(own)
    expect(configHash(own)).not.toBe(configHash(config))
    expect(() => applySettings(config, ['train.optimizer=sgd'])).toThrow(ConfigError)
  })

  it('muon moves the matrices between the ends of the networks', () => {
    const specs = stagesOf(config).flatMap((stage) => flattenSpec(stage.objective(model, 1).spec))
    const steps = stagesOf(config).map((stage) => stageStep(byMuon(config), model, stage).step)
    const moved = steps.flatMap(({ layout: { slabs, copies } }) =>
      copies.get('momentum')!.flatMap((i) => slabs[i].entries.map(({ path }) => path)),
    )
    const matrices = specs.filter(({ spec: { shape } }) => sizeOf(shape) > shape[0] && shape[0] > 1)
    const paths = matrices.map(({ path }) => path)
    expect(ends.filter((path) => !paths.includes(path))).toEqual([])
    expect(moved.sort()).toEqual(paths.filter((path) => !ends.includes(path)).sort())
    for (const path of ['encoder.stages.1.down.0', 'decoder.blocks.0.out', 'base.film.weight'])
      expect(moved).toContain(path)
  })

  it.each(['cpu', 'cuda'] as const)(
    'muon saves one copy of each such matrix, says ul info (%s)',
    (device) => {
      const [adamw, muon] = [config, byMuon(config)].map((own) => describeModel(own, 9, device).stages)
      for (const [i, stage] of stagesOf(config).entries()) {
        const { slabs, copies } = stageStep(byMuon(config), model, stage).step.layout
        const saved = copies.get('momentum')!.reduce((sum, slab) => sum + 4 * slabs[slab].size, 0)
        expect(saved).toBeGreaterThan(0.15 * adamw[i].stateBytes * (device === 'cpu' ? 1 : 0.5))
        expect(adamw[i].stateBytes - muon[i].stateBytes).toBe(device === 'cpu' ? saved : 2 * saved)
      }
    },
  )
})

describe('a run by Muon', () => {
  const config = byMuon(tinyConfigOf('train.checkpointEvery=2', 'train.keepCheckpoints=2'))
  const stages = ['stage1', 'stage2']
  const saved = (): Readonly<Record<string, HostTensor>>[] =>
    stages.map((stage) => loadCheckpoint(latestCheckpoint(runDir('muon'), stage)!.path).tensors)
  let trained: ReturnType<typeof saved>
  beforeAll(async () => {
    await trainTiny('muon', config)
    trained = saved()
  })

  it('keeps the momentum of a matrix, and both moments of all else', () => {
    const [tensors] = trained
    const copiesOf = (path: string): string[] =>
      Object.keys(tensors)
        .filter((name) => name.endsWith(`/${path}`))
        .map((name) => name.split('/')[0])
        .sort()
    expect(copiesOf('decoder.blocks.0.query')).toEqual(['ema', 'momentum', 'param'])
    expect(copiesOf('encoder.stages.0.blocks.0.conv1')).toEqual(['ema', 'momentum', 'param'])
    for (const path of ['decoder.in.weight', 'decoder.in.bias', 'encoder.norm.scale'])
      expect(copiesOf(path)).toEqual(['ema', 'moment1', 'moment2', 'param'])
  })

  it('resumes bit for bit', async () => {
    for (const stage of stages)
      rmSync(join(runDir('muon'), 'checkpoints', `${stage}-000000004`), { recursive: true })
    const { events } = await trainTiny('muon', config)
    const notes = events.flatMap((event) => (event.event === 'note' ? [event.text] : []))
    for (const stage of stages) expect(notes).toContain(`${stage}: resuming after step 2`)
    expect(saved()).toEqual(trained)
  })

  it('is not resumed by AdamW', async () => {
    const other = tinyConfigOf('train.checkpointEvery=2', 'train.keepCheckpoints=2')
    await expect(trainTiny('muon', other)).rejects.toThrow(
      'it holds a run with another configuration: train.optimizer ("muon" there, undefined now)',
    )
  })
})
