/**
 * @file Unified Latents (arXiv 2602.17270) on points of the plane, all of it in one file: encoder, diffusion prior and
 * diffusion decoder trained together (Algorithm 1), a base model of the frozen encoder's latents (section 3.3), samples.
 * On a Gaussian the optimum is known in closed form; two moons show that rate, latents and samples follow another shape.
 *
 *     npm run example:toy2d [-- FOLDER]     prints a table and writes toy2d.svg into FOLDER, runs/toy2d when left out
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as ul from 'unified-latents'
import { NodeRuntime } from 'unified-latents/node'
import { add, concat, constant, mul, reduceMean, silu } from 'unified-latents/ops'

type Point = readonly [number, number]
type Feeds = Readonly<Record<string, ul.HostTensor>>
const [seed, batch, width, pictured, measured] = [1, 256, 64, 2000, 2 ** 17]
const runtime = new NodeRuntime({ threads: 1 })

/** A distribution of points, and the bias b of its decoder's weight: details below e^{−b/2} are left to the decoder. */
export type DataSet = { readonly bias: number; readonly points: (draw: ul.Draw) => Point[] }
const drawOf = (purpose: ul.Draw['purpose'], step: number, count: number): ul.Draw => {
  return { seed, purpose, step, part: ul.wholeBatch(count) }
}
const pointsOf = (tensor: ul.HostTensor): Point[] => {
  const x = ul.floats(tensor)
  return Array.from({ length: x.length / 2 }, (_, i) => [x[2 * i], x[2 * i + 1]])
}
const noiseOf = (draw: ul.Draw): Point[] => pointsOf(ul.drawnNoise(draw, 'data', [2]))

const [correlation, moonNoise] = [0.75, 0.05]
/** Unit variances, correlated. */
export const gaussian: DataSet = {
  bias: 3,
  points: (draw) => noiseOf(draw).map(([a, b]) => [a, correlation * a + Math.sqrt(1 - correlation ** 2) * b]),
}
/** The curve of the moons at u in [0, 1): two half circles of radius 1. */
const moonAt = (u: number): Point => {
  const [angle, side] = [2 * Math.PI * (u % 0.5), u < 0.5 ? 1 : -1]
  return [side * (Math.cos(angle) - 0.5), side * (Math.sin(angle) - 0.25)]
}
export const curve: readonly Point[] = Array.from({ length: 1000 }, (_, i) => moonAt(i / 1000))
/** Two moons: points near that curve. */
export const moons: DataSet = {
  bias: 5,
  points: (draw) => {
    const on = ul.drawnUniforms(draw, 'place').map(moonAt)
    return noiseOf(draw).map(([a, b], i) => [on[i][0] + moonNoise * a, on[i][1] + moonNoise * b])
  },
}

const layer = (): ul.LinearSpec => ul.linearSpec(width, width)
const ends = (inputs: number) => ({ in: ul.linearSpec(inputs, width), out: ul.linearSpec(width, 2, 0) })
/** E: z = x + f(x), at first the identity: a latent that begins small may be given up before the decoder reads it. */
const encoder = ul.networkOf({ ...ends(2), hidden: layer() }, (p) => (x: ul.Value) => {
  const h = silu(ul.applyLinear(p.hidden, silu(ul.applyLinear(p.in, x))))
  return add(x, ul.applyLinear(p.out, h))
})
type Denoise = (given: ul.Value, logSnr: ul.Value) => ul.Value
/** v̂ from a noisy point, with what is known besides, and its log-SNR: prior, decoder and base. */
const denoiser = (inputs: number): ul.Network<Denoise> => {
  const spec = { ...ends(inputs), blocks: [layer(), layer(), layer()], logSnr: ul.logSnrSpec(width) }
  return ul.networkOf(spec, (p) => (given, logSnr) => {
    const level = ul.logSnrEmbedding(p.logSnr, logSnr) // [B, width]
    const block = (h: ul.Value, next: ul.Params<ul.LinearSpec>): ul.Value =>
      add(h, silu(add(ul.applyLinear(next, mul(h, add(level, 1))), level)))
    return ul.applyLinear(p.out, p.blocks.reduce(block, silu(add(ul.applyLinear(p.in, given), level))))
  })
}
const stage1 = { encoder, prior: denoiser(2), decoder: denoiser(4) }
const base = denoiser(2)
/** A network with its weights as constants. */
const frozen = <F>(network: ul.Network<F>, name: string, weights: ul.Weights): F =>
  network.bind((path) => constant(weights[path]), name)

/** λ of latents, from the noise of z_0 on; λ of points; c_lf. */
const [latentSchedule, pointSchedule, lossFactor] = [ul.linearSchedule(5, -10), ul.cosineSchedule(10, -10), 2]
/** What B points are denoised with: noise, log-SNR and weight; in stage 1 their latents as well, and the noise of z_0. */
const inputs = (B: number) => {
  const [point, level] = [{ shape: [B, 2] }, { shape: [B] }]
  const noisy = { x: point, eps: point, logSnr: level, weight: level }
  return { noisy, stage1: { ...noisy, z0Eps: point, zEps: point, zLogSnr: level, zWeight: level } }
}
type Noisy = ul.Traced<ReturnType<typeof inputs>['noisy']>
/** Weighted ‖v − v̂‖² in nats, [B]. */
const nats = (vHat: Denoise, { x, eps, logSnr, weight }: Noisy): ul.Value => {
  const level = ul.levelOf(logSnr, 2)
  return ul.vLoss(ul.vTarget(x, eps, level), vHat(ul.diffuse(x, eps, level), logSnr), weight)
}
/** z, z_0, L_z and L_x of points (Algorithm 1). The gradients of both losses reach the encoder. */
const terms = (own: ul.Bound<typeof stage1>, given: ul.Traced<ReturnType<typeof inputs>['stage1']>) => {
  const { logSnr0, logSnr1 } = latentSchedule
  const z = own.encoder(given.x)
  const z0 = add(mul(z, ul.alphaOf(logSnr0)), mul(given.z0Eps, ul.sigmaOf(logSnr0)))
  const noisyLatent = { x: z, eps: given.zEps, logSnr: given.zLogSnr, weight: given.zWeight }
  const rate = add(nats(own.prior, noisyLatent), ul.sumPerExample(ul.normalKlElements(z, logSnr1)))
  const distortion = nats((xT, logSnr) => own.decoder(concat([xT, z0], 1), logSnr), given)
  return { z, z0, rate, distortion, loss: reduceMean(add(rate, distortion)) }
}
const objective1 = ul.objectiveOf({
  ...{ name: 'stage1', networks: stage1, inputs: inputs(batch).stage1 },
  trace: (networks, inputs) => ({ loss: terms(networks, inputs).loss, report: {} }),
})
/** The base learns the latents of a frozen encoder (section 3.3). */
const objective2 = (encode: (x: ul.Value) => ul.Value): ul.Objective =>
  ul.objectiveOf({
    ...{ name: 'stage2', networks: { base }, inputs: inputs(batch).noisy },
    trace: ({ base }, at) => ({ loss: reduceMean(nats(base, { ...at, x: encode(at.x) })), report: {} }),
  })
const noisyFeeds = ({ points }: DataSet, draw: ul.Draw, schedule: ul.Schedule, weighting: ul.Weighting) => ({
  ...{ x: ul.float32([draw.part.count, 2], points(draw).flat()), eps: ul.drawnNoise(draw, 'eps', [2]) },
  ...ul.drawnLevels(schedule, weighting, draw, 'time'),
})
/** The latent is charged by the plain ELBO, as a discount would hide bits, and the point by the sigmoid-weighted one. */
const stage1Feeds = (set: DataSet, draw: ul.Draw): Feeds => {
  const z = ul.drawnLevels(latentSchedule, ul.elboWeight, draw, 'zTime')
  const zNoise = { z0Eps: ul.drawnNoise(draw, 'z0Eps', [2]), zEps: ul.drawnNoise(draw, 'zEps', [2]) }
  const x = noisyFeeds(set, draw, pointSchedule, ul.sigmoidWeight(set.bias, lossFactor))
  return { ...x, ...zNoise, zLogSnr: z.logSnr, zWeight: z.weight }
}

/** Averaged weights after steps of AdamW, each on fresh points. */
const trained = async (objective: ul.Objective, steps: number, feeds: (draw: ul.Draw) => Feeds) => {
  const optimizer = ul.adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 })
  const traced = ul.traceStep(objective, { optimizer, clipNorm: 10 }, 1)
  const start = ul.initialState(traced.layout, ul.initialParams(objective.spec, seed))
  const state = await ul.placeState(runtime, traced, start)
  await ul.trainLoop({
    ...{ trainStep: await ul.compileStep(runtime, traced), state, batch, from: 0, steps, emaDecay: 0.99 },
    rate: { lr: 5e-3, warmupSteps: 50, finalFraction: 0.01 },
    feeds: async (step) => feeds(drawOf('training', step, batch)),
    ...{ onStep: async () => {}, shouldStop: () => false },
  })
  return ul.readAverages(traced.layout, state)
}
/** A chain of ancestral steps from pure noise. */
const sampled = async (vHat: Denoise, schedule: ul.Schedule, end: 'noisy' | 'clean') => {
  const step = (at: ul.StepInputs) => ul.takeStep(at, ul.predicted(at, vHat(at.xT, at.logSnr)))
  const program = ul.trace(end, ul.stepInputs([pictured, 2]), step)
  const executable = await runtime.compile(program, { updates: ul.stepUpdates })
  const steps = ul.samplerSteps(schedule, { kind: 'ancestral', steps: 100, variance: 1 }, end)
  const chain = { steps, shape: [pictured, 2], seed, name: end, first: 0 }
  return ul.runChain(runtime, chain, {}, () => ({ program: executable, feeds: {} }))
}
const panels = ['data', 'latents', 'reconstructions', 'samples'] as const
/** What both stages on a data set gave: means over many fresh points, and some points. */
export type Toy = Readonly<Record<(typeof panels)[number], readonly Point[]>> &
  Readonly<Record<'rate' | 'closedRate' | 'distortion', number>>
export const toy2d = async (set: DataSet, steps: number): Promise<Toy> => {
  const weights = await trained(objective1, steps, (draw) => stage1Feeds(set, draw))
  const own = await trained(objective2(frozen(encoder, 'encoder', weights)), steps, (draw) =>
    noisyFeeds(set, draw, latentSchedule, ul.sigmoidWeight(set.bias)),
  )
  const given = { weights, networks: stage1, inputs: inputs(measured).stage1 }
  const measuring = await runtime.compile(ul.traceFrozen('measure', given, terms).program)
  const feeds = stage1Feeds(set, drawOf('measuring', 0, measured))
  const { z, z0, rate, distortion } = await measuring.run(feeds)
  const decoder = frozen(stage1.decoder, 'decoder', weights)
  const decoded = async (z0: ul.HostTensor): Promise<Point[]> => {
    const vHat: Denoise = (xT, logSnr) => decoder(concat([xT, constant(z0)], 1), logSnr)
    return pointsOf(await sampled(vHat, pointSchedule, 'clean'))
  }
  return {
    ...{ rate: mean([...ul.floats(rate)]), distortion: mean([...ul.floats(distortion)]) },
    ...{ closedRate: gaussianRate(covarianceOf(pointsOf(z))), data: pointsOf(feeds.x).slice(0, pictured) },
    latents: pointsOf(z).slice(0, pictured),
    reconstructions: await decoded(ul.examplesOf(z0, 0, pictured)),
    samples: await decoded(await sampled(frozen(base, 'base', own), latentSchedule, 'noisy')),
  }
}

const mean = (values: readonly number[]): number => ul.meanAndError(values).mean
export const covarianceOf = (points: readonly Point[]): [xx: number, yy: number, xy: number] => {
  const [mx, my] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))]
  const moment = (of: (x: number, y: number) => number) => mean(points.map(([x, y]) => of(x - mx, y - my)))
  return [moment((x) => x * x), moment((_, y) => y * y), moment((x, y) => x * y)]
}
/** Mean distance of points to the nearest of others. */
export const meanDistance = (points: readonly Point[], others: readonly Point[]): number =>
  mean(points.map(([x, y]) => Math.min(...others.map(([a, b]) => Math.hypot(x - a, y - b)))))
const squaredError = ({ data, reconstructions }: Toy): number =>
  mean(data.map(([x, y], i) => (x - reconstructions[i][0]) ** 2 + (y - reconstructions[i][1]) ** 2))
/** ½ ln det(I + e^λ(0)·C): the rate in nats of Gaussian latents of covariance C, and the most that C allows. */
const gaussianRate = ([xx, yy, xy]: readonly number[]): number => {
  const snr = Math.exp(latentSchedule.logSnr0)
  return Math.log((1 + snr * xx) * (1 + snr * yy) - (snr * xy) ** 2) / 2
}
/** A line of the table: what was measured, and what was to be expected. */
export type Line = readonly [what: string, measured: number, relation: '=' | '≤' | '≈', expected: number]
/**
 * The optimum for x ~ N(0, Σ) and z = A·x. Given z_0, x has the covariance S = (Σ⁻¹ + e⁵AᵀA)⁻¹ of eigenvalues s_i = r_i·e^−b:
 *   L_z = ½ ln det(I + e⁵AΣAᵀ) = ½ ln det(Σ S⁻¹) = b + ½ ln det Σ − ½ Σ_i ln r_i,
 *   L_x = c_lf·∫ ½e^λ·sigmoid(b − λ)·Σ_i s_i/(1 + s_i·e^λ) dλ = ½c_lf·Σ_i r_i·ln r_i/(r_i − 1).
 * Their slopes in ln r_i at r_i = 1 are −½ and ½c_lf·½: with c_lf = 2 that is the optimum. So S = e^−b·I, L_z = b + ½ ln det Σ,
 * L_x = 2, and a reconstruction, drawn from p(x|z_0), is off by E‖x − x̂‖² = 2·tr S = 4e^−b.
 */
export const gaussianLines = (toy: Toy): Line[] => {
  const [xx, yy, xy] = covarianceOf(toy.samples)
  const optimum = gaussian.bias + Math.log(1 - correlation ** 2) / 2
  return [
    ['rate L_z by the prior; ½ ln det(I + e⁵ cov z)', toy.rate, '=', toy.closedRate],
    ['½ ln det(I + e⁵ cov z); b + ½ ln det cov x', toy.closedRate, '=', optimum],
    ['decoder loss L_x; 2', toy.distortion, '=', 2],
    ['squared error of reconstructions; 4e^−b', squaredError(toy), '=', 4 * Math.exp(-gaussian.bias)],
    ['horizontal variance of samples; of data', xx, '=', 1],
    ['vertical variance of samples; of data', yy, '=', 1],
    ['covariance of samples; of data', xy, '=', correlation],
  ]
}
/** Along the curve r = 1 as above; across it the data's variance σ² is below e^−b, and left to the decoder. */
export const moonLines = (toy: Toy): Line[] => {
  const error = 2 * (Math.exp(-moons.bias) + moonNoise ** 2)
  const others = moons.points(drawOf('measuring', 1, pictured))
  return [
    ['rate L_z by the prior; ½ ln det(I + e⁵ cov z)', toy.rate, '≤', toy.closedRate],
    ['squared error of reconstructions; 2(e^−b + σ²)', squaredError(toy), '≈', error],
    ['samples to the curve; data', meanDistance(toy.samples, curve), '≈', meanDistance(toy.data, curve)],
    [
      'data to nearest samples; data',
      meanDistance(toy.data, toy.samples),
      '≈',
      meanDistance(toy.data, others),
    ],
  ]
}

/** Each panel's points as dots that fill a square. */
const picture = (toys: readonly Toy[]): string => {
  const panel = (points: readonly Point[], name: string, x: number, y: number): string => {
    const most = Math.max(...points.flat().map(Math.abs))
    const dots = points.map(([x, y]) => `M${((95 * x) / most).toFixed(1)} ${((-95 * y) / most).toFixed(1)}h0`)
    const text = `<text y="-100">${name}, ±${most.toFixed(1)}</text>`
    return `<g transform="translate(${x} ${y})">${text}<path d="${dots.join('')}" stroke="#17a" stroke-width="2"/></g>`
  }
  const row = (toy: Toy, y: number) => panels.map((name, i) => panel(toy[name], name, 110 + 220 * i, y))
  const style = 'font-family="sans-serif" font-size="14" text-anchor="middle" stroke-linecap="round"'
  const drawn = toys.flatMap((toy, i) => row(toy, 125 + 220 * i)).join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 450" ${style}>${drawn}</svg>`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = 'runs/toy2d'] = process.argv.slice(2)
  const toys = [await toy2d(gaussian, 2000), await toy2d(moons, 2000)] as const
  const shown = ([what, measured, relation, expected]: Line): string =>
    `  ${what.padEnd(46)} ${measured.toFixed(3)} ${relation} ${expected.toFixed(3)}`
  const rows = ['Gaussian', ...gaussianLines(toys[0]).map(shown), 'moons', ...moonLines(toys[1]).map(shown)]
  process.stdout.write(`${rows.join('\n')}\n`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/toy2d.svg`, picture(toys))
}
