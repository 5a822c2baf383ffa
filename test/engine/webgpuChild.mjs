/**
 * @file Runs in a process of its own, so that an abort of the GPU driver ends this and not the tests. Prints one JSON
 * line. `refuse <device>`: the messages with which placing and compiling fail. `train`: five steps of stage 1 on the
 * CPU and on WebGPU from one state, and how far apart they end.
 */
import {
  applySettings,
  autoencoderFeeds,
  autoencoderObjective,
  float32,
  modelConfig,
  presetByName,
  smokeForm,
  trace,
  traceTrainStep,
  trainLoop,
} from '../../dist/index.mjs'
import { NodeRuntime } from '../../dist/node.mjs'

const steps = 5
const batch = 2
const settings = ['data.size=16', 'decoder.dropout=0', 'encoder.channels=[8, 16]', 'prior.width=32']
const config = applySettings(smokeForm(presetByName('quickstart')), settings)
const model = modelConfig(config, 0)
const optimizer = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, clipNorm: 1 }
const { program, updates } = traceTrainStep(autoencoderObjective(model, batch), optimizer)

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
/** What stage 1 is fed at a step. */
const drawn = (step) =>
  autoencoderFeeds(
    model,
    images,
    { seed: 0, purpose: 'training', step, part: { first: 0, count: batch, of: batch } },
    1,
  )

const one = (x) => float32([], [x])
/** Every input of a step besides the state. */
const feedsOf = (step) => ({
  ...drawn(step),
  lr: one(1e-3),
  correction1: one(1),
  correction2: one(1),
  emaDecay: one(0.9),
})

const trainOn = async (device) => {
  const runtime = new NodeRuntime({ device, threads: 1 })
  const executable = await runtime.compile(program, { updates })
  const state = await runtime.place(initialState())
  const locationsOf = () => Object.keys(updates).map((name) => state.tensor(name).location ?? 'cpu')
  const locations = [locationsOf()]
  const losses = []
  await trainLoop({
    executable,
    state,
    from: 0,
    steps,
    optimizer,
    rate: { lr: 1e-3, warmupSteps: 1, finalFraction: 1 },
    emaDecay: 0.9,
    feeds: async (step) => drawn(step),
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
  const { traffic } = executable
  // Dropout is off, so the program does not read what drives it; loss, norm and latent size are scalars, three terms have [B].
  const { seed: _, firstExample: __, ...read } = feedsOf(0)
  const bytes = Object.values(read).reduce((sum, { data }) => sum + data.byteLength, 0)
  const expected = device === 'cpu' ? null : { toDevice: steps * bytes, toHost: steps * 4 * (3 + 3 * batch) }
  await executable.dispose()
  const profiled = await runtime.compile(program, { updates, profile: true })
  await profiled.run(feedsOf(steps), state)
  const copies = (await profiled.profile()).filter(({ operator }) => operator.startsWith('Memcpy'))
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
  for (const [name, { data }] of Object.entries(cpu.state)) {
    errors[name] = distance(gpu.state[name].data, data) / norm(data)
    moved[name] = distance(data, start[name].data) / norm(data)
  }
  const { state: _, ...ofCpu } = cpu
  const { state: __, ...ofGpu } = gpu
  return { cpu: ofCpu, gpu: ofGpu, errors, moved }
}

const refusals = async (device) => {
  const runtime = new NodeRuntime({ device })
  const messageOf = (promise) =>
    promise.then(
      () => null,
      (error) => error.message,
    )
  const copy = trace('copy', { x: { shape: [2] } }, ({ x }) => ({ y: x }))
  return {
    place: await messageOf(runtime.place({ x: float32([2], [1, 2]) })),
    compile: await messageOf(runtime.compile(copy)),
  }
}

const [task, device] = process.argv.slice(2)
const result = task === 'train' ? await compareDevices() : await refusals(device)
process.stdout.write(`${JSON.stringify(result)}\n`)
