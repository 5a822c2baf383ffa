/** @file The order in which the runtime takes a step: no gradient of a parameter waits for those of earlier layers. */
import { expect, it } from 'vitest'
import type { KernelTime } from '../../src/engine/runtime/runtime.ts'
import { stagesOf } from '../../src/stages/list.ts'
import { singleStep } from '../../src/stages/singleStep.ts'
import { runtime, tinyConfigOf } from './tinyRun.ts'

const isUnder = (scope: string) => (kernel: KernelTime) => kernel.node?.scope.startsWith(scope) === true

it.each([
  ['adamw', 1],
  ['muon', 1],
  ['muon', 2], // AdamW's sums are of a megabyte at a time, here of a whole network
])('%s, batches in %i parts: gradients are used as they are made', async (optimizer, parts) => {
  const config = tinyConfigOf(`train.optimizer=${optimizer}`, `train.accumulate=${parts}`)
  for (const stage of stagesOf(config)) {
    const step = await singleStep(runtime, config, stage, 2, { profile: true })
    await step.run(0)
    const kernels = await step.executables[0].profile() // in the order in which they ran
    await step.dispose()
    const backward = kernels.flatMap((kernel, at) => (isUnder('d ')(kernel) ? [at] : []))
    const [firstUse] = kernels.flatMap((kernel, at) =>
      parts === 1
        ? kernel.node?.op.name === 'reduceSumSquare' && isUnder('optimizer')(kernel)
          ? [at]
          : []
        : isUnder('accumulate')(kernel) && kernel.operator === 'Add'
          ? [at]
          : [],
    )
    const before = backward.filter((at) => at < firstUse).length
    expect(before / backward.length, stage.name).toBeLessThan(0.25)
  }
})
