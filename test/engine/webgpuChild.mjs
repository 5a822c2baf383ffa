/**
 * @file Runs in a process of its own, so that an abort of the GPU driver ends this and not the tests. Prints one JSON
 * line. `refuse <device>`: the messages with which placing and compiling fail. `train <parts>`: five steps of stage 1 on
 * the CPU and on WebGPU from one state, their batch in so many parts, and how far apart they end. `limits`: what the
 * adapter takes, and how programs that ask for more fail.
 */
import {
  adamW,
  applySettings,
  autoencoderFeeds,
  autoencoderObjective,
  compileStep,
  examplesOf,
  float32,
  modelConfig,
  placeState,
  presetByName,
  smokeForm,
  stepFeeds,
  trace,
  traceStep,
  trainLoop,
} from '../../dist/index.mjs'
import { NodeRuntime } from '../../dist/node.mjs'
import { concat, matmul, reduceSum } from '../../dist/ops.mjs'

const steps = 5
const batch = 2
const settings = ['data.size=16', 'decoder.dropout=0', 'encoder.channels=[8, 16]', 'prior.width=32']
const config = applySettings(smokeForm(presetByName('study')), settings)
const model = modelConfig(config, 0)
const optimizer = adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 })
const [task, option] = process.argv.slice(2)
const parts = task === 'train' ? Number(option) : 1
const traced = traceStep(autoencoderObjective(model, batch / parts), { optimizer, clipNorm: 1 }, parts)
const { program, updates } = traced.update

/** Numbers in (−1, 1) without a pattern, the same in every process. */
const numbers = (count, salt) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * i + 7 * i + salt))

const initialState = () =>
  Object.fromEntries(
    Object.keys(updates).map((name) => {
      const [copy, slab] = name.split('/')
      const { shape } = program.inputs[name]
      const data = copy.startsWith('moment')
        ? new Float32Array(shape[0])
        : numbers(shape[0], slab).map((x) => 0.2 * x)
      return [name, float32(shape, data)]
    }),
  )

const images = float32([batch, 3, model.size, model.size], numbers(batch * 3 * model.size ** 2, 0.5))
/** What stage 1 is fed for a part of a step. */
const drawn = (step, part) =>
  autoencoderFeeds(
    model,
    examplesOf(images, part.first, part.count),
    { seed: 0, purpose: 'training', step, part },
    1,
  )

const schedule = { rate: { lr: 1e-3, warmupSteps: 1, finalFraction: 1 }, emaDecay: 0.9, steps }
const count = batch / parts
const drawnPart = (step) => async (part) => drawn(step, { first: part * count, count, of: batch })

const trainOn = async (device) => {
  const runtime = new NodeRuntime({ device, threads: 1 })
  const trainStep = await compileStep(runtime, traced)
  const state = await placeState(runtime, traced, initialState())
  const locationsOf = () => state.names.map((name) => state.tensor(name).location ?? 'cpu')
  const locations = [locationsOf()]
  const losses = []
  await trainLoop({
    ...schedule,
    trainStep,
    state,
    batch,
    from: 0,
    feeds: async (step, part) => drawn(step, part),
    onStep: async ({ loss, gradNorm }) => {
      losses.push(loss, gradNorm)
      locations.push(locationsOf())
    },
    shouldStop: () => false,
  })
  const part = (await state.read(['param/0']))['param/0'].data
  const all = await state.read()
  // Written and read again: what goes up comes back.
  const sent = numbers(part.length, 3)
  await state.write({ 'param/0': float32([part.length], sent) })
  const written = (await state.read())['param/0'].data
  const others = (await state.read(['ema/0']))['ema/0'].data
  const roundTrip =
    part.every((x, i) => x === all['param/0'].data[i]) &&
    written.every((x, i) => x === sent[i]) &&
    others.every((x, i) => x === all['ema/0'].data[i])
  const traffic = trainStep.executables.map(({ traffic }) => traffic)
  // Dropout is off, so the program does not read what drives it; loss, norm and latent size are scalars, three terms have
  // [B]. In parts, each is also fed whether it is the first and the loss's scale, and gives its own loss and latent size.
  const { seed: _, firstExample: __, ...read } = drawn(0, { first: 0, count, of: batch })
  const bytesOf = (feeds) => Object.values(feeds).reduce((sum, { data }) => sum + data.byteLength, 0)
  const [fed, scalars] = [bytesOf(read), bytesOf(stepFeeds(optimizer, schedule, 0))]
  const ofPart = { toDevice: steps * parts * (fed + 1 + 4), toHost: steps * parts * 4 * (2 + 3 * count) }
  const ofUpdate = { toDevice: steps * scalars, toHost: steps * 4 * 2 }
  const whole = { toDevice: steps * (fed + scalars), toHost: steps * 4 * (3 + 3 * batch) }
  const expected = device === 'cpu' ? null : parts === 1 ? [whole] : [ofPart, ofUpdate]
  await trainStep.dispose()
  const profiled = await compileStep(runtime, traced, { profile: true })
  await profiled.run(drawnPart(steps), stepFeeds(optimizer, schedule, steps), state)
  const times = (await Promise.all(profiled.executables.map((executable) => executable.profile()))).flat()
  const copies = times.filter(({ operator }) => operator.startsWith('Memcpy'))
  await profiled.dispose()
  await state.dispose()
  return {
    traffic,
    expected,
    copies: copies.map(({ node, operator, bytes }) => `${operator} ${bytes} ${node?.op.name ?? ''}`),
    losses,
    locations: [...new Set(locations.flat())],
    state: all,
    roundTrip,
  }
}

const distance = (a, b) => Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0))
const norm = (a) => Math.sqrt(a.reduce((sum, x) => sum + x * x, 0))

const compareDevices = async () => {
  const [cpu, gpu] = [await trainOn('cpu'), await trainOn('webgpu')]
  const start = initialState()
  const errors = {}
  const moved = {}
  for (const [name, { data: before }] of Object.entries(start)) {
    const { data } = cpu.state[name]
    errors[name] = distance(gpu.state[name].data, data) / norm(data)
    moved[name] = distance(data, before) / norm(data)
  }
  const { state: _, ...ofCpu } = cpu
  const { state: __, ...ofGpu } = gpu
  return { cpu: ofCpu, gpu: ofGpu, errors, moved }
}

const refusals = async (device) => {
  const runtime = new NodeRuntime({ device })
  const copy = trace('copy', { x: { shape: [2] } }, ({ x }) => ({ y: x }))
  return {
    place: await messageOf(runtime.place({ x: float32([2], [1, 2]) })),
    compile: await messageOf(runtime.compile(copy)),
  }
}

const messageOf = (promise) =>
  promise.then(
    () => null,
    (error) => error.message,
  )

/** What the adapter takes, and that a larger tensor and half precision fail. */
const limited = async () => {
  const runtime = new NodeRuntime({ device: 'webgpu' })
  const large = trace('large', { x: { shape: [2 ** 16, 576] } }, ({ x }) => ({
    sums: reduceSum(concat(Array(8).fill(x), 0), [1]),
  }))
  const square = { shape: [64, 64] }
  const product = trace('product', { a: square, b: square }, ({ a, b }) => ({ y: matmul(a, b) }))
  const half = await new NodeRuntime({ device: 'webgpu', compute: 'float16' }).compile(product)
  const ones = float32(square.shape, new Float32Array(64 * 64).fill(1))
  // The driver is asked through the library that also calls ONNX Runtime, which is set up once.
  const { y } = await (await new NodeRuntime({ threads: 1 }).compile(product)).run({ a: ones, b: ones })
  return {
    onCpu: y.data[0],
    limits: runtime.limits,
    refusal: await messageOf(runtime.compile(large)),
    half: await messageOf(half.run({ a: ones, b: ones })),
  }
}

const tasks = { train: compareDevices, limits: limited, refuse: () => refusals(option) }
const result = await tasks[task]()
process.stdout.write(`${JSON.stringify(result)}\n`)
