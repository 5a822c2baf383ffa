/** @file Whether a device trains as the CPU does, and what crosses between it and the host in a step. */
import type { Config } from '../src/config/schema.ts'
import type { KernelTime, Runtime, Traffic } from '../src/engine/runtime/runtime.ts'
import { stagesOf } from '../src/stages/list.ts'
import { type SingleStep, singleStep } from '../src/stages/singleStep.ts'
import type { Stage } from '../src/stages/stage.ts'
import { classes } from './case.ts'
import { runtimeOn, type Target } from './target.ts'

const asFloat = (bytes: number): string => (bytes < 10_000 ? `${bytes} B` : `${(bytes / 1000).toFixed(0)} kB`)

/** Losses and gradient norms of some steps, one after the other, and the seconds of each step. */
interface Taken {
  readonly numbers: readonly number[]
  readonly seconds: readonly number[]
}

const take = async (step: SingleStep, count: number): Promise<Taken> => {
  const [numbers, seconds]: [number[], number[]] = [[], []]
  for (let i = 0; i < count; i++) {
    const begin = performance.now()
    const { loss, gradNorm } = await step.run(i)
    seconds.push((performance.now() - begin) / 1000)
    numbers.push(Number(loss.data[0]), Number(gradNorm.data[0]))
  }
  return { numbers, seconds }
}

/** Largest |a/b − 1|. */
const largestDifference = (found: readonly number[], expected: readonly number[]): number =>
  Math.max(...found.map((value, i) => Math.abs(value / expected[i] - 1)))

const perStep = (step: SingleStep, count: number): Traffic => {
  const all = step.executables.map(({ traffic }) => traffic)
  const sum = (way: keyof Traffic): number => all.reduce((total, traffic) => total + traffic[way], 0)
  return { toDevice: sum('toDevice') / count, toHost: sum('toHost') / count }
}

/** The kernels of one step. */
const kernelsOf = async (runtime: Runtime, config: Config, stage: Stage): Promise<readonly KernelTime[]> => {
  const step = await singleStep(runtime, config, stage, classes, { profile: true })
  await step.run(0)
  const kernels = (await Promise.all(step.executables.map((executable) => executable.profile()))).flat()
  await step.dispose()
  return kernels
}

/** How many kernels each provider ran, and which operators those were that are not the busiest one's. */
const byProvider = (kernels: readonly KernelTime[]): string => {
  const operators = new Map<string, string[]>()
  for (const { provider, operator } of kernels)
    operators.set(provider, [...(operators.get(provider) ?? []), operator])
  const [busiest, ...others] = [...operators].sort(([, a], [, b]) => b.length - a.length)
  const rest = others.map(
    ([provider, own]) => `${own.length} on ${provider} (${[...new Set(own)].join(', ')})`,
  )
  return [`${busiest[1].length} on ${busiest[0]}`, ...rest].join(', ')
}

const compareStage = async (target: Target, config: Config, stage: Stage, count: number): Promise<string> => {
  const runtime = runtimeOn(target)
  const reference = await singleStep(
    runtimeOn({ device: 'cpu', precision: 'float32' }),
    config,
    stage,
    classes,
  )
  const expected = await take(reference, count)
  await reference.dispose()
  const step = await singleStep(runtime, config, stage, classes)
  const found = await take(step, count)
  const { toDevice, toHost } = perStep(step, count)
  await step.dispose()
  const kernels = await kernelsOf(runtime, config, stage)
  const copies = kernels.filter(({ operator }) => operator.startsWith('Memcpy')).length
  const [first, ...others] = found.seconds
  return [
    `${config.name} ${stage.name}, batch ${step.batch}, ${target.device} ${target.precision}: over ${count} steps losses and gradient norms`,
    `differ from the CPU's by ${largestDifference(found.numbers, expected.numbers).toExponential(1)} at most (the loss went from ${expected.numbers[0].toPrecision(5)} to ${expected.numbers.at(-2)!.toPrecision(5)});`,
    `a step sends ${asFloat(toDevice)} and brings back ${asFloat(toHost)}, with ${copies} copies of the runtime's own; kernels: ${byProvider(kernels)};`,
    `first step ${first.toFixed(2)} s, then ${(others.length > 0 ? Math.min(...others) : first).toFixed(3)} s`,
  ].join(' ')
}

/**
 * Takes the same steps of stages of a configuration on a device and on the CPU, and tells of each.
 * @param flags of the stages
 * @param count of steps
 * @throws one sentence when the device is not there
 */
export const agreement = async (
  target: Target,
  config: Config,
  { flags, count }: { readonly flags: readonly string[]; readonly count: number },
  tell: (line: string) => void,
): Promise<void> => {
  for (const stage of stagesOf(config))
    if (flags.includes(stage.flag)) tell(await compareStage(target, config, stage, count))
}
