/**
 * @file Training steps with their state in the host's arrays and in memory of the runtime's own, as on CUDA, both on the CPU
 * and in alternation: the median of the ratios of their times. Above 1 is faster; the goal is 0.98.
 *
 * Usage: npm run build && node tools/memories.mjs [preset=quickstart] [rounds=30] [threads]
 */
import { performance } from 'node:perf_hooks'
import {
  adamW,
  autoencoderFeeds,
  autoencoderObjective,
  compileStep,
  float32,
  initialParams,
  initialState,
  modelConfig,
  placeState,
  presetByName,
  stepFeeds,
  traceStep,
} from 'unified-latents'
import { NodeRuntime } from 'unified-latents/node'

const [preset = 'quickstart', rounds = '30', threads] = process.argv.slice(2)
const config = presetByName(preset)
const model = modelConfig(config, 9)
const { beta1, beta2, weightDecay, clipNorm, batch } = config.train
const objective = autoencoderObjective(model, batch)
const optimizer = adamW({ beta1, beta2, epsilon: 1e-8, weightDecay })
const traced = traceStep(objective, { optimizer, clipNorm }, 1)
const shape = [batch, 3, model.size, model.size]
const images = float32(
  shape,
  Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * i + 7 * i)),
)
const schedule = { rate: { lr: 1e-4, warmupSteps: 0, finalFraction: 1 }, emaDecay: 0.99, steps: 1 }
const part = { first: 0, count: batch, of: batch }

/** Takes step i and returns its milliseconds and loss. */
const stepper = async (ownMemory) => {
  const runtime = new NodeRuntime({ ownMemory, ...(threads !== undefined && { threads: Number(threads) }) })
  const trainStep = await compileStep(runtime, traced)
  const state = await placeState(
    runtime,
    traced,
    initialState(traced.layout, initialParams(objective.spec, 1)),
  )
  return async (i) => {
    const feeds = autoencoderFeeds(model, images, { seed: 0, purpose: 'training', step: i, part }, 1)
    const start = performance.now()
    const { loss } = await trainStep.run(async () => feeds, stepFeeds(optimizer, schedule, i), state)
    return { milliseconds: performance.now() - start, loss: loss.data[0] }
  }
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]
/** The host's arrays twice: how far the second of them is from 1 is what the measurement is worth. */
const runners = [
  { name: 'host arrays', step: await stepper(false), times: [] },
  { name: 'own memory', step: await stepper(true), times: [] },
  { name: 'host arrays again', step: await stepper(false), times: [] },
]
const warmUps = 3
for (let i = 0; i < Number(rounds) + warmUps; i++) {
  const losses = new Set()
  for (let k = 0; k < runners.length; k++) {
    // Who goes first takes turns.
    const runner = runners[(i + k) % runners.length]
    const { milliseconds, loss } = await runner.step(i)
    losses.add(loss)
    if (i >= warmUps) runner.times.push(milliseconds)
  }
  if (losses.size > 1) throw new Error(`step ${i}: losses ${[...losses].join(' and ')} differ`)
}
const [host] = runners
process.stdout.write(
  `${preset}, stage 1, ${rounds} rounds; median of a step, and of the ratios to the first\n`,
)
for (const { name, times } of runners) {
  const ratio = median(host.times.map((time, i) => time / times[i]))
  process.stdout.write(`${name}: ${median(times).toFixed(1)} ms, ${ratio.toFixed(3)}\n`)
}
