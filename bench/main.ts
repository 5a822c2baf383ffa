/** @file `npm run bench`: training steps beside the matrix product of the same runtime, in alternation. */

import { presetByName } from '../src/config/load.ts'
import { modelConfig } from '../src/config/schema.ts'
import { float32, type HostTensor, scalar, zeros } from '../src/host/tensor.ts'
import { forwardFlops } from '../src/ir/cost.ts'
import { trace } from '../src/ir/program.ts'
import { initialParams } from '../src/nn/params.ts'
import { matmul } from '../src/ops/matmul.ts'
import { imageShape, stage1Feeds, stage1Objective } from '../src/pipeline/stage1.ts'
import { NodeRuntime } from '../src/runtime/node/runtime.ts'
import { initialState, traceTrainStep } from '../src/train/step.ts'

const side = 1024
const rounds = 9
const classes = 9

/** Something that can be timed: one call is one unit of `gflops`. */
interface Work {
  readonly name: string
  readonly gflops: number
  run(): Promise<unknown>
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!

const matmulWork = async (runtime: NodeRuntime): Promise<Work> => {
  const specs = { a: { shape: [side, side] }, b: { shape: [side, side] } }
  const executable = await runtime.compile(trace('matmul', specs, ({ a, b }) => ({ y: matmul(a, b) })))
  const a = float32(
    [side, side],
    Float32Array.from({ length: side * side }, (_, i) => Math.sin(i)),
  )
  return { name: `${side}³ matmul`, gflops: (2 * side ** 3) / 1e9, run: () => executable.run({ a, b: a }) }
}

const stage1Work = async (runtime: NodeRuntime, preset: string): Promise<Work> => {
  const config = presetByName(preset)
  const { batch } = config.train
  const model = modelConfig(config, classes)
  const objective = stage1Objective(model, batch)
  const optimizer = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, clipNorm: 1 }
  const { program, updates, slabs } = traceTrainStep(objective, optimizer)
  const executable = await runtime.compile(program, { updates })
  const state = await runtime.place(initialState(slabs, initialParams(objective.spec, 0)))
  const images = zeros(imageShape(model, batch)).data as Float32Array
  const scalars: Record<string, HostTensor> = {
    lr: scalar(1e-4),
    correction1: scalar(1),
    correction2: scalar(1),
    emaDecay: scalar(0.99),
  }
  let step = 0
  return {
    name: `${preset} stage 1, batch ${batch}`,
    gflops: (3 * forwardFlops([program.outputs.loss!])) / 1e9,
    run: async () => executable.run({ ...stage1Feeds(model, images, 0, step++, 1), ...scalars }, state),
  }
}

const seconds = async (work: Work): Promise<number> => {
  const start = performance.now()
  await work.run()
  return (performance.now() - start) / 1000
}

/** Times two works in alternation and prints their rates and the median of the ratios. */
const compare = async (work: Work, reference: Work): Promise<void> => {
  const rates: number[] = []
  const references: number[] = []
  for (let round = -2; round < rounds; round++) {
    const rate = work.gflops / (await seconds(work))
    const own: number[] = []
    for (let i = 0; i < 5; i++) own.push(reference.gflops / (await seconds(reference)))
    if (round < 0) continue
    rates.push(rate)
    references.push(median(own))
  }
  const ratios = rates.map((rate, i) => rate / references[i]!).sort((a, b) => a - b)
  process.stdout.write(
    `${work.name.padEnd(32)} ${median(rates).toFixed(1).padStart(7)} GFLOP/s   ${reference.name} ${median(references).toFixed(1).padStart(7)} GFLOP/s` +
      `   ratio ${median(ratios).toFixed(3)} (${ratios[0]!.toFixed(3)} to ${ratios.at(-1)!.toFixed(3)})\n`,
  )
}

const runtime = new NodeRuntime()
const reference = await matmulWork(runtime)
for (const preset of process.argv.slice(2).length > 0 ? process.argv.slice(2) : ['quickstart', 'emoji64']) {
  await compare(await stage1Work(runtime, preset), reference)
}
process.exit(0)
