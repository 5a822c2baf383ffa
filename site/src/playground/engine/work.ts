/** @file What the worker does for each call, with one model open at a time. */
import {
  createTermsEstimator,
  examplesOf,
  float32,
  floats,
  type HostTensor,
  heat,
  latentOf,
  partsOfVariant,
  psnr,
  quantiseImages,
  type Runtime,
  ratesByPlace,
  type TermsEstimator,
  toNchw,
  type Watch,
  wholeBatch,
  withKept,
} from 'unified-latents'
import {
  choicesOf,
  configGuidance,
  type DeviceError,
  DeviceLimitError,
  decoderSampler,
  latentSampler,
  type OpenedModel,
  openModel,
  openWebRuntime,
  type ReadFile,
  type WebRuntime,
  type WebRuntimeOptions,
} from 'unified-latents/web'
import { readerOf } from './modelFiles.ts'
import type { CallName, Calls, GenerateInput, Live, ModelSummary } from './protocol.ts'
import { squareImage } from './squareImage.ts'

/** How a call is seen and ended from outside. */
interface Watched {
  readonly signal: AbortSignal
  readonly live: (live: Live) => void
}

/** A model with its programs, compiled as they are used. */
interface Open {
  readonly runtime: Runtime
  readonly run: OpenedModel
  readonly codec: ReturnType<OpenedModel['codec']>
  estimator: TermsEstimator | null
  /** The generator of the batch that was asked for last. */
  generator: { readonly B: number; readonly own: ReturnType<OpenedModel['generator']> } | null
}

/** Times and noises for the rate of an image, as `ul reconstruct` draws them (docs/metrics.md). */
const draws = 8
/** Milliseconds between two looks at what is being generated; each costs a decoder step. */
const lookEvery = 400

let open: Open | null = null
/** What the model that was open went with. */
let failed: DeviceError | null = null
/** Why the GPU is left alone: it failed before. */
let whyNoGpu: string | null = null
let runtimeOpened: Promise<WebRuntime> | undefined

const current = (): Open => {
  if (failed !== null) throw failed
  if (open === null) throw new Error('no model is open; open one first')
  return open
}

/** Tells how far a chain is, and ends it when it was cancelled: the runtime lets messages in before every run. */
const told =
  ({ signal, live }: Watched, label: string): Watch =>
  ({ taken, of }) => {
    live({ label, share: taken / of })
    signal.throwIfAborted()
  }

const closed = async (): Promise<void> => {
  const last = open
  open = null
  await last?.codec.dispose()
  await last?.estimator?.dispose()
  await last?.generator?.own.dispose()
}

/** Colours of the amounts 0, 1/255 … 1. */
const ramp = (): Uint8Array =>
  Uint8Array.from({ length: 256 * 3 }, (_, i) =>
    Math.round(127.5 * heat(Math.floor(i / 3) / 255)[i % 3] + 127.5),
  )

const summaryOf = (name: string, run: OpenedModel, said: readonly string[]): ModelSummary => {
  const { channels, height, width } = latentOf(run.model)
  const weights = { ...run.autoencoder(), ...(run.hasBase && run.base()) }
  return {
    name,
    size: run.config.data.size,
    latent: [channels, height, width],
    parameters: Object.values(weights).reduce((sum, { data }) => sum + data.length, 0),
    generates: run.generates,
    choices: choicesOf(run).map((choice) => choice.name),
    oneStep: partsOfVariant(run.model.variant).distortion.isOneStep,
    decoderSteps: run.config.sampler.decoderSteps,
    latentSteps: run.config.sampler.steps,
    guidance: run.config.sampler.guidance,
    said,
    ramp: ramp(),
  }
}

const imageOf = (pixels: Uint8Array, { run }: Open): HostTensor =>
  toNchw(pixels, { size: run.config.data.size })

const latentTensor = (z: Float32Array, { run }: Open): HostTensor => {
  const { channels, height, width } = latentOf(run.model)
  return float32([1, channels, height, width], z)
}

/** Noisy latents to images, one by one as their numbers draw. [size, size, 3] each */
const decodedEach = async (
  { run, codec }: Open,
  z0: HostTensor,
  { seed, steps, watch }: { readonly seed: number; readonly steps: number; readonly watch?: Watch },
): Promise<Uint8Array[]> => {
  const images: Uint8Array[] = []
  for (let i = 0; i < z0.shape[0]; i++) {
    const sampler = { ...decoderSampler(run.config), steps }
    images.push(quantiseImages(await codec.decode(examplesOf(z0, i, 1), seed, sampler, i, undefined, watch)))
  }
  return images
}

/**
 * Looks at what is being generated from time to time: the predicted latents through one step of the decoder.
 * @param known clean latents, and the mask of the positions that are kept as they are there
 */
const looking = (
  own: Open,
  watched: Watched,
  seed: number,
  known?: { readonly z: HostTensor; readonly mask: HostTensor },
): Watch => {
  const tell = told(watched, 'Drawing latents')
  let last = performance.now()
  return async (at) => {
    await tell(at)
    if (performance.now() - last < lookEvery || at.taken === at.of) return
    const predicted = await at.xHat()
    const z0 = own.codec.addNoise(known ? withKept(predicted, known.z, known.mask) : predicted, seed)
    watched.live({ pixels: await decodedEach(own, z0, { seed, steps: 1 }) })
    last = performance.now()
  }
}

/** The generator for a batch; the one before makes room for it. */
const generatorFor = async (own: Open, B: number): Promise<ReturnType<OpenedModel['generator']>> => {
  if (own.generator?.B === B) return own.generator.own
  await own.generator?.own.dispose()
  own.generator = { B, own: own.run.generator(B) }
  return own.generator.own
}

/** What stays of a latent when painted positions are drawn anew: its clean and its noisy numbers, and where. */
const keptOf = (own: Open, { repaint, seed }: GenerateInput) => {
  if (repaint === undefined) return undefined
  const z = latentTensor(repaint.z, own)
  const mask = float32(
    [1, 1, ...z.shape.slice(2)],
    Float32Array.from(repaint.painted, (on) => (on ? 0 : 1)),
  )
  return { z, z0: own.codec.addNoise(z, seed), mask }
}

/** Has the CPU compute from now on. @param reason why the GPU does not */
const takeCpu = async (reason: string): Promise<WebRuntime> => {
  const { said, ...onCpu } = await openWebRuntime({ device: 'wasm' })
  return { ...onCpu, said: [`WebGPU is not used: ${reason}.`, ...said] }
}

/** Leaves a GPU that does not compute, with all that lies on it. Until a model is opened again, every call says so. */
export const leaveGpu = (error: DeviceError): void => {
  open = null
  failed = error
  whyNoGpu = `${error.reason}; reload the page to have it again`
  runtimeOpened = undefined
}

/** The runtime of all models that are opened. */
const runtimeFor = async (device: WebRuntimeOptions['device']): Promise<WebRuntime> => {
  runtimeOpened ??= whyNoGpu === null ? openWebRuntime({ device, fallBack: true }) : takeCpu(whyNoGpu)
  try {
    return await runtimeOpened
  } catch (error) {
    runtimeOpened = undefined // the next try may have what this one lacked
    throw error
  }
}

/** Opens a model on what was asked for; on the CPU where the GPU does not take its tensors. */
const openedOn = async (device: WebRuntimeOptions['device'], read: ReadFile) => {
  const opened = await runtimeFor(device)
  try {
    return { ...opened, run: await openModel(opened.runtime, read) }
  } catch (error) {
    if (!(error instanceof DeviceLimitError)) throw error
    runtimeOpened = takeCpu(error.message)
    const instead = await runtimeFor(device)
    return { ...instead, run: await openModel(instead.runtime, read) }
  }
}

type Work = {
  readonly [K in CallName]: (input: Calls[K]['in'], watched: Watched) => Promise<Calls[K]['out']>
}

/** What is done for each call. */
export const work: Work = {
  open: async ({ source, device }, watched) => {
    await closed()
    failed = null
    watched.live({ label: 'Starting the runtime' })
    const read = await readerOf(source, watched)
    const { runtime, said, run } = await openedOn(device, read)
    watched.signal.throwIfAborted()
    if (run.config.video !== undefined)
      throw new Error(`${source.name}: a model of clips; the playground shows models of images`)
    open = { runtime, run, codec: run.codec(1), estimator: null, generator: null }
    return summaryOf(source.name, run, said)
  },

  prepare: ({ image, fit }) => squareImage(image, current().run.config.data.size, fit),

  encode: async ({ pixels, seed }, { live }) => {
    const own = current()
    live({ label: 'Encoding' })
    return { z: floats(await own.codec.encode(imageOf(pixels, own), seed)) }
  },

  measure: async ({ pixels, seed }, { live, signal }) => {
    const own = current()
    if (!partsOfVariant(own.run.model.variant).space.isLearned)
      throw new Error(
        'this latent is the image itself (variant.encoder is pixels): there is no rate to count',
      )
    live({ label: 'Counting bits' })
    own.estimator ??= createTermsEstimator(own.runtime, own.run.model, own.run.autoencoder(), 1)
    const terms = await own.estimator.terms(imageOf(pixels, own), wholeBatch(1), { draws, seed })
    signal.throwIfAborted()
    const { channels, height, width } = latentOf(own.run.model)
    const { positions } = ratesByPlace({
      rateElements: terms.rateElements,
      latent: [channels, height, width],
    })
    const bits = (terms.priorNats[0] + terms.terminalNats[0]) / Math.LN2
    return { positions, bits, bitsPerPixel: bits / own.run.config.data.size ** 2 }
  },

  decode: async ({ z, seed, steps, original }, watched) => {
    const own = current()
    const z0 = own.codec.addNoise(latentTensor(z, own), seed)
    const sampler = { ...decoderSampler(own.run.config), steps }
    const watch = told(watched, `Decoding in ${steps} ${steps === 1 ? 'step' : 'steps'}`)
    const image = await own.codec.decode(z0, seed, sampler, 0, undefined, watch)
    return {
      pixels: quantiseImages(image),
      psnr: original === undefined ? null : psnr(imageOf(original, own), image)[0],
    }
  },

  generate: async (input, watched) => {
    const own = current()
    const { choices, seed, steps, decoderSteps, guidance } = input
    const all = choicesOf(own.run)
    watched.live({ label: 'Drawing latents', share: 0 })
    const generator = await generatorFor(own, choices.length)
    const kept = keptOf(own, input)
    const z0 = await generator.generate({
      facts: choices.map((choice) => all[choice].facts),
      seed,
      sampler: { ...latentSampler(own.run.config), steps },
      guidance: { ...configGuidance(own.run.config), scale: guidance },
      kept,
      watch: looking(own, watched, seed, kept),
    })
    const watch = told(watched, 'Decoding')
    return { pixels: await decodedEach(own, z0, { seed, steps: decoderSteps, watch }) }
  },
}
