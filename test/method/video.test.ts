/** @file Clips: what mixes frames, what is left of an image model in a model of clips, and that nothing leaks from what is to be predicted. */
import { describe, expect, it } from 'vitest'
import { framesOf as framesOfHost } from '../../src/engine/host/clips.ts'
import {
  float32,
  floats,
  type HostTensor,
  int32,
  scalar,
  sizeOf,
  stacked,
  zeros,
} from '../../src/engine/host/tensor.ts'
import type { LookUp } from '../../src/engine/nn/network.ts'
import { bindParams, flattenSpec, type Spec } from '../../src/engine/nn/params.ts'
import {
  addClipMean,
  clipMeanSpec,
  clipsLike,
  framesOf,
  timeConv,
  timeDown,
  timeDownSpec,
  timeUp,
  timeUpSpec,
} from '../../src/engine/nn/time.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { autoencoderFeeds, autoencoderNetworks, autoencoderObjective } from '../../src/method/autoencoder.ts'
import { createCodec } from '../../src/method/codec.ts'
import type { ModelConfig, VideoConfig } from '../../src/method/config.ts'
import type { Guidance } from '../../src/method/diffusion/sampler.ts'
import { createGenerator, guidedStep, plainStep } from '../../src/method/generator.ts'
import {
  drawnGivenCounts,
  givenClips,
  givenMaskOf,
  nothingGiven,
  withGiven,
  withheldGiven,
} from '../../src/method/given.ts'
import { priorNetwork } from '../../src/method/networks/prior.ts'
import {
  baseOf,
  compiled,
  decoderOf,
  evaluate,
  imageShape,
  latentShape,
  networkConfigs,
  normal,
  randomParams,
  relativeError,
  stage1Spec,
  stage2Spec,
  stepOf,
  type Tensors,
  tinyConfig,
  wholeDraw,
} from './support.ts'

const runtime = new NodeRuntime({ threads: 1 })
const frames = 8
const video: VideoConfig = { downsample: 4, kernel: 3, attention: 'full', given: 3, givenShare: 0.5 }
const clipConfig: ModelConfig = { ...tinyConfig, frames, video }
const factorisedConfig: ModelConfig = { ...clipConfig, video: { ...video, attention: 'factorised' } }
const kinds = { full: clipConfig, factorised: factorisedConfig }

/** [N, C, …] as still clips [N, C, T, …]. */
const still = (x: HostTensor, T: number): HostTensor => {
  const [N, C, ...grid] = x.shape as [number, number, ...number[]]
  const plane = sizeOf(grid)
  const out = new Float32Array(N * C * T * plane)
  for (let p = 0; p < N * C; p++)
    for (let t = 0; t < T; t++) out.set(floats(x).subarray(p * plane, (p + 1) * plane), (p * T + t) * plane)
  return float32([N, C, T, ...grid], out)
}

describe('time', () => {
  it('moves frames among the examples and back', async () => {
    const x = normal('x', [2, 3, 4, 5, 6])
    const { maps, back } = await evaluate({}, {}, { x }, (_, inputs) => ({
      maps: framesOf(inputs.x),
      back: clipsLike(framesOf(inputs.x), inputs.x),
    }))
    expect(maps).toEqual(framesOfHost(x))
    expect(back).toEqual(x)
  })

  it('is convolved position by position, zeros before the first frame and after the last', async () => {
    const [T, C, O, P] = [4, 2, 3, 6]
    const [x, kernel] = [normal('x', [2 * T, C, 2, 3]), normal('kernel', [O, C, 3, 1])]
    const { y } = await evaluate({}, {}, { x, kernel }, (_, inputs) => ({
      y: timeConv(inputs.kernel, inputs.x, T),
    }))
    const expected = Float32Array.from({ length: 2 * T * O * P }, (_, i) => {
      const [b, t] = [Math.floor(i / (T * O * P)), Math.floor(i / (O * P)) % T]
      const [o, p] = [Math.floor(i / P) % O, i % P]
      let sum = 0
      for (let c = 0; c < C; c++)
        for (let k = 0; k < 3; k++) {
          const from = t + k - 1
          if (from < 0 || from >= T) continue
          sum += floats(kernel)[(o * C + c) * 3 + k] * floats(x)[((b * T + from) * C + c) * P + p]
        }
      return sum
    })
    expect(relativeError(y, expected)).toBeLessThan(1e-6)
  })

  it('halves by the mean of two frames and doubles by repeating, and learns what differs', async () => {
    const spec = { down: timeDownSpec(2), up: timeUpSpec(2) }
    const x = normal('x', [4, 2, 1, 1])
    const run = (params: Tensors) =>
      evaluate(spec, params, { x }, (lookUp, inputs) => ({
        down: timeDown(lookUp('down'), inputs.x),
        up: timeUp(lookUp('up'), inputs.x),
      }))
    const [a, b] = [0, 1].map((pair) => floats(x).subarray(4 * pair, 4 * pair + 4))
    const zeroed = {
      down: float32([2, 4, 1, 1], new Float32Array(8)),
      up: float32([4, 2, 1, 1], new Float32Array(8)),
    }
    const plain = await run(zeroed)
    const means = [a, b].flatMap((f) => [(f[0] + f[2]) / 2, (f[1] + f[3]) / 2])
    expect(relativeError(plain.down, means)).toBeLessThan(1e-6)
    expect([...floats(plain.up)]).toEqual(
      [0, 1, 2, 3].flatMap((frame) =>
        [0, 1].flatMap(() => [...floats(x).subarray(2 * frame, 2 * frame + 2)]),
      ),
    )
    // The first frame's channels come first: a weight of ½ there and −½ behind leaves the first frame alone.
    const first = float32([2, 4, 1, 1], [0.5, 0, -0.5, 0, 0, 0.5, 0, -0.5])
    const { down } = await run({ ...zeroed, down: first })
    expect(relativeError(down, [a[0], a[1], b[0], b[1]])).toBeLessThan(1e-6)
  })
})

describe('the shortcut of the encoder', () => {
  it.each([
    ['images', tinyConfig, 1],
    ['clips', clipConfig, video.downsample],
  ] as const)('adds a product of the mean colours of each position of %s', async (_, plain, together) => {
    const short: ModelConfig = { ...plain, encoder: { ...plain.encoder, shortcut: true } }
    const params = randomParams(stage1Spec(short))
    const x = normal('x', imageShape(plain, 2))
    const z = async (own: ModelConfig) =>
      (
        await evaluate(stage1Spec(own), params, { x }, (lookUp, inputs) => ({
          z: autoencoderNetworks(own).encoder.bind(lookUp, 'encoder')(inputs.x).mean,
        }))
      ).z
    const kernel = floats(params['encoder.shortcut.0']) // [c, 3, 1, 1]
    const { channels, downsample: side } = plain.latent
    const [T, S] = [plain.frames, plain.size]
    const [t, s] = [T / together, S / side]
    // Pixel by pixel: [B, 3, T, S, S] into [B, c, t, s, s].
    const expected = new Float32Array(2 * channels * t * s * s)
    for (const [i, value] of floats(x).entries()) {
      const [column, row, frame] = [i % S, Math.floor(i / S) % S, Math.floor(i / S / S) % T]
      const [colour, clip] = [Math.floor(i / S / S / T) % 3, Math.floor(i / S / S / T / 3)]
      const [a, b, c] = [Math.floor(frame / together), Math.floor(row / side), Math.floor(column / side)]
      for (let o = 0; o < channels; o++)
        expected[(((clip * channels + o) * t + a) * s + b) * s + c] +=
          (kernel[o * 3 + colour] * value) / (together * side * side)
    }
    const [more, less] = [floats(await z(short)), floats(await z(plain))]
    const added = more.map((value, i) => value - less[i])
    expect(relativeError(added, expected)).toBeLessThan(1e-4)
  })
})

describe('the mean of a clip’s frames', () => {
  it('is added to the tokens of every frame by a product, and nothing for images', async () => {
    const [B, C, T, n, D] = [2, 3, 4, 6, 5]
    const x = normal('x', [B, C, T, 2, 3])
    const tokens = normal('tokens', [B, T * n, D])
    const spec = { mean: clipMeanSpec(C, D) }
    const params = randomParams(spec)
    const { y, same } = await evaluate(spec, params, { x, tokens }, (lookUp, inputs) => ({
      y: addClipMean([bindParams(spec, lookUp, '').mean], inputs.tokens, inputs.x),
      same: addClipMean([], inputs.tokens, inputs.x),
    }))
    expect(same).toEqual(tokens)
    const [weight, bias] = [floats(params['mean.weight']), floats(params['mean.bias'])]
    const expected = Float32Array.from(floats(tokens), (token, i) => {
      const [d, p, b] = [i % D, Math.floor(i / D) % n, Math.floor(i / D / n / T)]
      let sum = token + bias[d]
      for (let c = 0; c < C; c++)
        for (let t = 0; t < T; t++) sum += (floats(x)[((b * C + c) * T + t) * n + p] / T) * weight[c * D + d]
      return sum
    })
    expect(relativeError(y, expected)).toBeLessThan(1e-6)
    expect(flattenSpec(spec).every(({ spec: { std } }) => std === 0)).toBe(true)
  })
})

/** Weights of an image model, none of them zero, and what a model of clips has besides as it starts. */
const asClipParams = (image: Spec, clip: Spec): Tensors => {
  const own = randomParams(image)
  return Object.fromEntries(
    flattenSpec(clip).map(({ path, spec: { shape, std } }) => [path, own[path] ?? normal(path, shape, std)]),
  )
}

describe('an image model’s weights in a model of clips', () => {
  it.each(Object.entries(kinds))(
    'give still clips what they give images (%s attention)',
    async (_, model) => {
      const B = 2
      const T = frames / video.downsample
      const [image, clip] = [stage1Spec(tinyConfig), stage1Spec(model)]
      const x = normal('x', imageShape(tinyConfig, B))
      const z = normal('z', latentShape(tinyConfig, B))
      const logSnr = float32([B], [-1, 2])
      const run = (own: ModelConfig, params: Tensors, given: Tensors) =>
        evaluate(stage1Spec(own), params, { ...given, logSnr }, (lookUp, inputs) => ({
          z: autoencoderNetworks(own).encoder.bind(lookUp, 'encoder')(inputs.x).mean,
          prior: priorNetwork(networkConfigs(own).prior).bind(lookUp, 'prior')(inputs.z, inputs.logSnr),
          decoder: decoderOf(
            own,
            lookUp,
          )({ xT: inputs.x, z0: inputs.z, logSnr: inputs.logSnr, z0LogSnr: inputs.logSnr }),
        }))
      const ofImages = await run(tinyConfig, randomParams(image), { x, z })
      const ofClips = await run(model, asClipParams(image, clip), { x: still(x, frames), z: still(z, T) })
      for (const [name, count] of [
        ['z', T],
        ['prior', T],
        ['decoder', frames],
      ] as const)
        expect(relativeError(ofClips[name], still(ofImages[name], count))).toBeLessThan(1e-5)

      const [imageBase, clipBase] = [stage2Spec(tinyConfig), stage2Spec(model)]
      const labels = { labels: { shape: [B], dtype: 'int32', data: Int32Array.of(0, 2) } as HostTensor }
      const runBase = (own: ModelConfig, spec: Spec, params: Tensors, given: HostTensor) =>
        evaluate(spec, params, { z: given, logSnr, ...labels }, (lookUp, inputs) => ({
          v: baseOf(own, lookUp)({ zT: inputs.z, logSnr: inputs.logSnr, conditions: inputs }),
        }))
      const base = await runBase(tinyConfig, imageBase, randomParams(imageBase), z)
      const baseOfClips = await runBase(model, clipBase, asClipParams(imageBase, clipBase), still(z, T))
      expect(relativeError(baseOfClips.v, still(base.v, T))).toBeLessThan(1e-5)
    },
  )
})

describe('frames', () => {
  const encoder = (model: ModelConfig, lookUp: LookUp) =>
    autoencoderNetworks(model).encoder.bind(lookUp, 'encoder')

  it('of one clip meet each other, and no other clip', async () => {
    const spec = stage1Spec(clipConfig)
    const shape = imageShape(clipConfig, 2)
    const program = await compiled(spec, { x: { shape } }, (lookUp, { x }) => ({
      z: encoder(clipConfig, lookUp)(x).mean,
    }))
    const params = randomParams(spec)
    const x = normal('x', shape)
    const changed = float32(shape, floats(x).slice())
    // The last frame of the second clip, in one colour.
    const plane = 16 * 16
    ;(changed.data as Float32Array).fill(0.5, floats(x).length - plane)
    const [before, after] = [
      await program.run({ ...params, x }),
      await program.run({ ...params, x: changed }),
    ]
    await program.dispose()
    const half = floats(before.z).length / 2
    expect(floats(after.z).subarray(0, half)).toEqual(floats(before.z).subarray(0, half))
    const latentFrame = (z: HostTensor, t: number) =>
      floats(z)
        .subarray(half)
        .filter((_, i) => Math.floor(i / 4) % 2 === t)
    for (const t of [0, 1]) expect(latentFrame(after.z, t)).not.toEqual(latentFrame(before.z, t))
  })
})

describe('given frames', () => {
  it('are drawn in the shares of the configuration: none, the usual number, any number', () => {
    const counts = drawnGivenCounts(
      { ...clipConfig, video: { ...video, givenShare: 0.6 } },
      wholeDraw(1, 0, 20_000),
    )
    const share = (k: number): number => counts.filter((own) => own === k).length / counts.length
    expect(Math.max(...counts)).toBe(frames - 1)
    expect(share(0)).toBeCloseTo(0.4, 1.5)
    expect(share(video.given)).toBeCloseTo(0.3 + 0.3 / 7, 1.5)
    for (const k of [1, 2, 4, 5, 6, 7]) expect(share(k)).toBeCloseTo(0.3 / 7, 1.5)
    expect(drawnGivenCounts(tinyConfig, wholeDraw(1, 0, 4))).toEqual([])
    expect(nothingGiven(tinyConfig, 4)).toEqual({})
  })

  it('stand for clips that go on with copies of the last of them', () => {
    const x = normal('x', [3, 1, 4, 1, 1])
    const { givenFrames, givenMask } = givenClips(x, [2, 0, 4])
    const [a, c] = [floats(x).subarray(0, 4), floats(x).subarray(8)]
    expect([...floats(givenFrames)]).toEqual([a[0], a[1], a[1], a[1], 0, 0, 0, 0, ...c])
    expect([...floats(givenMask)]).toEqual([1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    const made = normal('made', x.shape)
    const put = floats(withGiven(made, { givenFrames, givenMask }))
    const own = floats(made)
    expect([...put]).toEqual([a[0], a[1], own[2], own[3], ...own.subarray(4, 8), ...c])
  })

  it('are encoded where there are any', async () => {
    const codec = createCodec(runtime, clipConfig, randomParams(stage1Spec(clipConfig)), 2)
    const x = normal('x', imageShape(clipConfig, 3), 0.3)
    const { givenFrames, givenZ } = await codec.give(x, [0, 3, 0])
    const encoded = floats(await codec.encode(givenFrames!))
    const each = encoded.length / 3
    const own = (n: number) => floats(givenZ!).subarray(n * each, (n + 1) * each)
    expect(own(1)).toEqual(encoded.subarray(each, 2 * each))
    for (const n of [0, 2]) expect(own(n).every((value) => value === 0)).toBe(true)
    const none = await codec.give(x, [0, 0, 0])
    expect(floats(none.givenZ!).every((value) => value === 0)).toBe(true)
    await codec.dispose()
  })

  /** What is predicted of two clips from `counts` frames, with weights of which none is zero. */
  const predicted = async (
    model: ModelConfig,
    x: HostTensor,
    counts: readonly number[],
  ): Promise<HostTensor> => {
    const weights = randomParams(stage1Spec(model))
    const codec = createCodec(runtime, model, weights, 2)
    const generator = createGenerator(runtime, model, randomParams(stage2Spec(model)), 2)
    const sampler = { kind: 'ancestral', steps: 3, variance: 0.2 } as const
    const given = await codec.give(x, counts)
    const facts = counts.map(() => ({ label: 1 }))
    const guidance = { scale: 2, logSnrMin: -4, logSnrMax: 4 }
    const z0 = await generator.generate({ facts, seed: 3, sampler, guidance, given })
    const made = await codec.decode(z0, 3, sampler, 0, given)
    await generator.dispose()
    await codec.dispose()
    return made
  }

  it.each(Object.entries(kinds))(
    'decide a prediction, the frames after them no bit of it (%s attention)',
    async (_, model) => {
      const counts = [3, 5]
      const shape = imageShape(model, 2)
      const plane = 16 * 16
      const x = normal('x', shape, 0.3)
      /** Other numbers in frames that `isChanged`. */
      const with_ = (isChanged: (n: number, t: number) => boolean): HostTensor => {
        const data = floats(x).slice()
        for (const at of data.keys()) {
          const frame = Math.floor(at / plane)
          if (isChanged(Math.floor(frame / (3 * frames)), frame % frames)) data[at] = -data[at]
        }
        return float32(shape, data)
      }
      const made = await predicted(model, x, counts)
      const later = await predicted(
        model,
        with_((n, t) => t >= counts[n]),
        counts,
      )
      expect(later).toEqual(made)
      const first = await predicted(
        model,
        with_((_, t) => t === 0),
        counts,
      )
      const frameOf = (v: HostTensor, n: number, t: number): number[] =>
        [0, 1, 2].flatMap((c) => [
          ...floats(v).subarray(((n * 3 + c) * frames + t) * plane, ((n * 3 + c) * frames + t + 1) * plane),
        ])
      for (const n of [0, 1])
        for (let t = 0; t < frames; t++) {
          if (t < counts[n]) expect(frameOf(made, n, t)).toEqual(frameOf(x, n, t))
          else expect(frameOf(first, n, t)).not.toEqual(frameOf(made, n, t))
        }
    },
  )

  it('of nothing leave what the encoder makes of them unread', async () => {
    const model = clipConfig
    const spec = stage2Spec(model)
    const [zT, logSnr] = [normal('z', latentShape(model, 1)), float32([1], [0])]
    const labels = { shape: [1], dtype: 'int32', data: Int32Array.of(0) } as HostTensor
    const v = async (givenZ: HostTensor, mask: readonly number[]) => {
      const feeds = { zT, logSnr, labels, givenZ, mask: float32([1, frames], mask) }
      const out = await evaluate(spec, randomParams(spec), feeds, (lookUp, inputs) => ({
        v: baseOf(
          model,
          lookUp,
        )({
          zT: inputs.zT,
          logSnr: inputs.logSnr,
          conditions: inputs,
          given: { z: inputs.givenZ, mask: inputs.mask },
        }),
      }))
      return out.v
    }
    const [one, other] = [normal('one', zT.shape), normal('other', zT.shape)]
    const none = Array.from({ length: frames }, () => 0)
    expect(await v(one, none)).toEqual(await v(other, none))
    expect(await v(one, none.with(0, 1))).not.toEqual(await v(other, none.with(0, 1)))
    expect(await v(one, none.with(0, 1))).not.toEqual(await v(one, none.with(0, 1).with(1, 1)))
  })
})

describe('guidance by given frames', () => {
  it('goes on from what is given, away from what nothing given says, beside guidance by class', async () => {
    const [B, model] = [2, clipConfig]
    const shape = latentShape(model, B)
    const none = zeros([B, frames])
    const feeds = {
      xT: normal('xT', shape),
      eps: normal('eps', shape),
      before: normal('before', shape),
      logSnr: float32([B], [2, -3]),
      ...{ keep: scalar(0.7), clean: scalar(0.4), past: scalar(0.1), noise: scalar(0.2) },
      labels: int32([B], [0, 2]),
      'null/labels': int32([B], [model.classes, model.classes]),
      givenZ: normal('given', shape),
      'null/givenZ': normal('unread', shape),
      givenMask: givenMaskOf([3, 5], frames),
      'null/givenMask': none,
      ...{ guidance: scalar(2), givenGuidance: scalar(1.5) },
    }
    const spec = stage2Spec(model)
    const made = await evaluate(spec, randomParams(spec), feeds, (lookUp, inputs) => {
      const base = baseOf(model, lookUp)
      const step = stepOf(inputs)
      const plain = (...untold: readonly string[]) =>
        plainStep(model, base, {
          ...step,
          ...Object.fromEntries(untold.map((name) => [name, inputs[`null/${name}`]])),
        }).x
      return {
        told: plain(),
        noClass: plain('labels'),
        alone: plain('givenZ', 'givenMask'),
        given: guidedStep(model, base, step, ['given']).x,
        both: guidedStep(model, base, step, ['conditions', 'given']).x,
      }
    })
    const [told, noClass, alone] = [made.told, made.noClass, made.alone].map(floats)
    const byGiven = told.map((v, i) => v + 0.5 * (v - alone[i]))
    expect(relativeError(made.given, byGiven)).toBeLessThan(1e-5)
    const byBoth = told.map((v, i) => v + (v - noClass[i]) + 0.5 * (v - alone[i]))
    expect(relativeError(made.both, byBoth)).toBeLessThan(1e-5)
    expect(relativeError(made.given, told)).toBeGreaterThan(1e-3)
  })

  it('of 1 or of nothing given changes no bit, within its interval of noise alone', async () => {
    const model = { ...clipConfig, classes: 0 }
    const generator = createGenerator(runtime, model, randomParams(stage2Spec(model)), 2)
    const givenMask = givenMaskOf([3, 5], frames)
    const given = {
      givenFrames: zeros(imageShape(model, 2)),
      givenZ: normal('z', latentShape(model, 2)),
      givenMask,
    }
    const sampler = { kind: 'ddim', steps: 3, variance: 0 } as const
    const made = (guidance: Partial<Guidance>, has = true): Promise<HostTensor> =>
      generator.generate({
        facts: [null, null],
        ...{ seed: 3, sampler },
        guidance: { scale: 2, logSnrMin: -4, logSnrMax: 4, ...guidance },
        ...(has && { given }),
      })
    const plain = await made({})
    expect(await made({ given: 1 })).toEqual(plain)
    expect(await made({ given: 3 })).not.toEqual(plain)
    expect(await made({ given: 3, logSnrMin: 50, logSnrMax: 60 })).toEqual(plain)
    expect(await made({ given: 3 }, false)).toEqual(await made({}, false))
    await generator.dispose()
  })

  it('is trained by withholding them from a share of the clips, the others as they are', () => {
    const [n, draw] = [20_000, wholeDraw(1, 0, 20_000)]
    const given = { givenMask: givenMaskOf(Array(n).fill(3), frames), givenZ: zeros([n, 1, 1, 1, 1]) }
    const { givenMask, givenZ } = withheldGiven(given, 0.3, draw)
    expect(givenZ).toBe(given.givenZ)
    const kinds = Array.from({ length: n }, (_, i) =>
      floats(givenMask)
        .slice(i * frames, (i + 1) * frames)
        .join(''),
    )
    expect(new Set(kinds)).toEqual(new Set(['00000000', '11100000']))
    expect(kinds.filter((kind) => kind === '00000000').length / n).toBeCloseTo(0.3, 1.5)
    expect(withheldGiven(given, 0, draw)).toBe(given)
    const images = {}
    expect(withheldGiven(images, 0.3, draw)).toBe(images)
  })
})

describe('a step of clips', () => {
  it.each(Object.entries(kinds))(
    'has the same terms in parts as whole, dropout included (%s attention)',
    async (_, own) => {
      const model = { ...own, decoder: { ...own.decoder, dropout: 0.4 } }
      const B = 4
      const whole = autoencoderObjective(model, B)
      const params = randomParams(whole.spec)
      const x = normal('x', imageShape(model, B), 0.5)
      const nats = async (first: number, count: number): Promise<HostTensor> => {
        const objective = autoencoderObjective(model, count)
        const each = sizeOf(x.shape.slice(1))
        const part = { first, count, of: B }
        const images = float32(
          [count, ...x.shape.slice(1)],
          floats(x).slice(first * each, (first + count) * each),
        )
        const draw = { seed: 1, step: 2, purpose: 'training', part } as const
        const feeds = autoencoderFeeds(model, images, draw, 1)
        const read = new Set(Object.keys(objective.inputs))
        const given = Object.fromEntries(Object.entries(feeds).filter(([name]) => read.has(name)))
        const filled = { zDraw: normal('zDraw', latentShape(model, count)), ...given }
        const { decoderNats } = await evaluate(
          objective.spec,
          params,
          filled,
          (lookUp, inputs) => objective.trace(lookUp, inputs).report,
        )
        return decoderNats
      }
      const parts = stacked([await nats(0, 1), await nats(1, 3)])
      const all = await nats(0, B)
      expect(relativeError(parts, all)).toBeLessThan(1e-5)
      expect(new Set(floats(all)).size).toBe(B)
    },
  )
})
