/** @file The memory that `ul info` expects, in closed form, on the CPU and on GPUs. */
import { describe, expect, it } from 'vitest'
import { applySettings, presetByName } from '../../src/config/load.ts'
import { modelConfig } from '../../src/config/schema.ts'
import { sizeOf } from '../../src/engine/host/tensor.ts'
import { bytesOf, peakIntermediateBytes } from '../../src/engine/ir/cost.ts'
import { input, nodesOf } from '../../src/engine/ir/graph.ts'
import { flattenSpec, type Spec } from '../../src/engine/nn/params.ts'
import { add, mul } from '../../src/engine/ops/core.ts'

import { describeModel } from '../../src/stages/info.ts'
import { stages, stagesOf } from '../../src/stages/list.ts'
import { stageStep } from '../../src/stages/stageStep.ts'
import { programsOf } from '../../src/train/trainStep.ts'

const config = applySettings(presetByName('study'), ['data.size=16', 'train.batch=2', 'prior.width=32'])
const model = modelConfig(config, 3)

const parametersIn = (spec: Spec): number =>
  flattenSpec(spec).reduce((sum, { spec: { shape } }) => sum + sizeOf(shape), 0)

describe('describeModel', () => {
  // Parameters, two moments and the average, four bytes each.
  const once = stages
    .filter((stage) => stage.applies(config))
    .map((stage) => 16 * parametersIn(stage.objective(model, 1).spec))
  const onCpu = describeModel(config, 3)

  it('says what a latent measures, and how many fewer numbers than the image', () => {
    expect(onCpu).toMatchObject({ name: 'study', latentShape: [8, 4, 4], compression: 128 / 768 })
  })

  it('counts the state once on the CPU, which updates it in place, and the process', () => {
    expect(onCpu).toEqual(describeModel(config, 3, 'cpu'))
    expect(onCpu.stages.map(({ stateBytes }) => stateBytes)).toEqual(once)
    for (const [i, { stateBytes, fedBytes, intermediateBytes, residentBytes }] of onCpu.stages.entries()) {
      const { step } = stageStep(config, model, stagesOf(config)[i])
      const nodes = programsOf(step).flatMap(({ program }) => nodesOf(Object.values(program.outputs)))
      const own = (140 << 20) + 7 * 1024 * nodes.length
      expect(residentBytes).toBe(own + stateBytes + fedBytes + intermediateBytes)
    }
  })

  it.each(['webgpu', 'cuda'] as const)(
    'counts current and next state on %s, and the device alone',
    (device) => {
      const { stages: onDevice, ...rest } = describeModel(config, 3, device)
      const { stages: cpuStages, ...cpuRest } = onCpu
      expect(rest).toEqual(cpuRest)
      for (const [i, stage] of onDevice.entries()) {
        const { fedBytes, intermediateBytes } = cpuStages[i]
        const [stateBytes, residentBytes] = [2 * once[i], 2 * once[i] + fedBytes + intermediateBytes]
        expect(stage).toEqual({ ...cpuStages[i], stateBytes, residentBytes })
      }
    },
  )

  it('leaves next states to the state: they add nothing to the intermediates', () => {
    const w = input('w', [64]) // a whole granule of the arena
    const next = add(w, mul(w, w))
    expect(peakIntermediateBytes([next], new Set([next]))).toBe(bytesOf(w)) // the product alone
    expect(peakIntermediateBytes([next])).toBe(2 * bytesOf(w))
  })
})
