/**
 * @file Times that docs/results.md and docs/metrics.md state and `npm run bench` does not take: building the session of a
 * stage-1 step, and distances between sets of Gaussian features.
 *
 * Usage: npm run build && node tools/timings.mjs [threads]
 */
import { performance } from 'node:perf_hooks'
import {
  adamW,
  autoencoderObjective,
  compareFeatureSets,
  featureSet,
  featureStatistics,
  frechetDistance,
  modelConfig,
  presetByName,
  traceTrainStep,
} from 'unified-latents'
import { NodeRuntime } from 'unified-latents/node'

const say = (text) => process.stdout.write(`${text}\n`)
const timed = async (name, work) => {
  const start = performance.now()
  const result = await work()
  say(`${name}: ${((performance.now() - start) / 1000).toFixed(2)} s`)
  return result
}

const runtime = new NodeRuntime(process.argv[2] === undefined ? {} : { threads: Number(process.argv[2]) })
for (const name of ['quickstart', 'emoji64']) {
  const config = presetByName(name)
  const { beta1, beta2, weightDecay, clipNorm, batch } = config.train
  const rule = { optimizer: adamW({ beta1, beta2, epsilon: 1e-8, weightDecay }), clipNorm }
  const { program, updates } = await timed(`${name}: tracing`, () =>
    traceTrainStep(autoencoderObjective(modelConfig(config, 9), batch), rule),
  )
  const executable = await timed(`${name}: session`, () => runtime.compile(program, { updates }))
  await executable.dispose()
}

const gaussian = (count, dimension) => {
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())
  return featureSet(Float32Array.from({ length: count * dimension }, normal), dimension)
}
for (const dimension of [768, 2048]) {
  const [a, b] = [gaussian(1600, dimension), gaussian(1600, dimension)].map(featureStatistics)
  await timed(`distance, ${dimension} features`, () => frechetDistance(a, b))
}
const [real, fake] = [gaussian(1600, 768), gaussian(1600, 768)]
await timed('compareFeatureSets, twice 1600 × 768', () => compareFeatureSets(real, fake))
