/** @file A sampler's chain in use: one traced step, run from pure noise to the end on a batch that stays on the device. */
import { float32, type HostTensor, type Shape, scalar, zeros } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import type { InputSpec } from '../engine/ir/program.ts'
import { add, mul } from '../engine/ops/core.ts'
import type { DeviceState, Runtime } from '../engine/runtime/runtime.ts'
import { numberedNoise } from './diffusion/draws.ts'
import { levelOf, xFromV } from './diffusion/process.ts'
import type { Step } from './diffusion/sampler.ts'
import { expectKept, type Kept, noisedFurther, withKept } from './kept.ts'

/** The inputs of one denoising step x_s = keep·x_t + clean·x̂ + past·x̂_before + noise·ε (see diffusion/sampler.ts) for x [B, …]. */
export const stepInputs = (shape: Shape): Readonly<Record<keyof StepInputs, InputSpec>> => ({
  xT: { shape },
  before: { shape },
  eps: { shape },
  logSnr: { shape: [shape[0] ?? 1] },
  keep: { shape: [] },
  clean: { shape: [] },
  past: { shape: [] },
  noise: { shape: [] },
})

/** Those inputs, traced. */
export type StepInputs = Readonly<
  Record<'xT' | 'before' | 'eps' | 'logSnr' | 'keep' | 'clean' | 'past' | 'noise', Value>
>

/** x_s from x̂, and x̂ for the step after. */
export const takeStep = (
  { xT, before, eps, keep, clean, past, noise }: StepInputs,
  xHat: Value,
): { readonly x: Value; readonly xHat: Value } => ({
  x: add(add(add(mul(xT, keep), mul(xHat, clean)), mul(eps, noise)), mul(before, past)),
  xHat,
})

/** x̂ from v̂ at a step's noise level. */
export const predicted = ({ xT, logSnr }: Pick<StepInputs, 'xT' | 'logSnr'>, vHat: Value): Value =>
  xFromV(xT, vHat, levelOf(logSnr, xT.shape.length))

/** Where a chain is: after a step. */
export interface ChainAt {
  /** Steps taken, from 1 on, and steps in all. */
  readonly taken: number
  readonly of: number
  /** Number of the batch's first example. */
  readonly first: number
  /** What the network predicted in this step, [B, …]; brought from the device when asked for. */
  xHat(): Promise<HostTensor>
}

/** Sees a chain after every step. The chain waits for it, and ends with what it throws. */
export type Watch = (at: ChainAt) => void | Promise<void>

/** A chain of steps, and where its noise comes from: the stream of a name, from an example on. */
export interface Chain {
  readonly steps: readonly Step[]
  /** [B, …] */
  readonly shape: Shape
  readonly seed: number
  readonly name: string
  readonly first: number
  /** Where the chain begins: pure noise when absent. Copied, so it keeps its values. */
  readonly start?: HostTensor | undefined
  /** Positions that are kept, of all B examples, with λ where the chain ends; none when absent. */
  readonly kept?: (Kept & { readonly end: number }) | undefined
  readonly watch?: Watch | undefined
}

/** A compiled denoising step, whose outputs replace what the state holds (stepUpdates). */
export interface StepProgram {
  run(feeds: Readonly<Record<string, HostTensor>>, state: DeviceState): Promise<unknown>
}

/** What a step's program replaces in its state. */
export const stepUpdates = { xT: 'x', before: 'xHat' } as const

/**
 * Writes what is kept into x_t at a noise level, with the same noise at every level: one path from pure noise to z_0, which
 * the drawn positions see (replacement, Song et al. 2021, appendix I.2).
 */
const keepAt = ({ kept, shape, seed, name, first }: Chain) => {
  if (kept === undefined) return async () => undefined
  expectKept(kept)
  const eps = numberedNoise(shape, seed, `${name}/kept`, first)
  return async (state: DeviceState, logSnr: number): Promise<void> => {
    const { xT } = await state.read(['xT'])
    const known = logSnr === kept.end ? kept.z0 : noisedFurther(kept.z0, eps, kept.end, logSnr)
    await state.write({ xT: withKept(xT, known, kept.mask) })
  }
}

/**
 * Takes all steps of a chain on a batch; x_t and what is held with it never leave the device in between, but where
 * positions are kept.
 * @param held inputs that are the same in all steps
 * @param program the program of a step and what it is fed besides, by its noise level
 */
export const runChain = async (
  runtime: Runtime,
  chain: Chain,
  held: Readonly<Record<string, HostTensor>>,
  program: (step: Step) => {
    readonly program: StepProgram
    readonly feeds: Readonly<Record<string, HostTensor>>
  },
): Promise<HostTensor> => {
  const { steps, shape, seed, name, first, start, watch } = chain
  const B = shape[0] ?? 1
  const keep = keepAt(chain)
  const nothing = zeros(shape)
  // `place` may take over what it is given, and the steps write over x_t.
  const xT = start ? { ...start, data: start.data.slice() } : numberedNoise(shape, seed, name, first)
  const state = await runtime.place({ ...held, xT, before: zeros(shape) })
  try {
    for (const [i, step] of steps.entries()) {
      const { program: own, feeds } = program(step)
      await keep(state, step.logSnr)
      await own.run(
        {
          ...feeds,
          eps: step.noise === 0 ? nothing : numberedNoise(shape, seed, `${name}/${i}`, first),
          logSnr: float32([B], new Float32Array(B).fill(step.logSnr)),
          keep: scalar(step.keep),
          clean: scalar(step.clean),
          past: scalar(step.past),
          noise: scalar(step.noise),
        },
        state,
      )
      const xHat = async (): Promise<HostTensor> => (await state.read(['before'])).before
      await watch?.({ taken: i + 1, of: steps.length, first, xHat })
    }
    if (chain.kept) await keep(state, chain.kept.end)
    const { xT: end } = await state.read(['xT'])
    return end
  } finally {
    await state.dispose()
  }
}
