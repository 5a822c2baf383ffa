/** @file The parts of a check on a card's machine, most valuable first: each is a process with a time limit of its own. */
import { fileURLToPath } from 'node:url'
import type { Precision } from '../src/engine/runtime/node/precision.ts'
import type { Device } from '../src/engine/runtime/runtime.ts'

/** One part. */
export interface CardPart {
  readonly title: string
  /** Seconds after which it is ended. */
  readonly limit: number
  readonly command: string
  readonly args: readonly string[]
}

/** What is asked of the check. */
export interface CardPlan {
  readonly devices: readonly Device[]
  /** Whether to try the check itself, by the smallest networks and few rounds. */
  readonly short: boolean
  /** Devices on which only the smallest networks are fast enough: software adapters. */
  readonly slow: ReadonlySet<Device>
}

/** A file of the built project. */
const built = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const node = (title: string, limit: number, file: string, ...args: readonly string[]): CardPart => ({
  ...{ title, limit, command: process.execPath, args: [built(file), ...args] },
})

/** On a card TF32 first: it is what most people train with. */
const precisionsOf: Readonly<Record<Device, readonly Precision[]>> = {
  cpu: ['float32'],
  webgpu: ['float32', 'float16'],
  cuda: ['tf32', 'float32', 'float16'],
}

const versions = (python: string): CardPart[] => [
  {
    ...{ title: 'card', limit: 15, command: 'nvidia-smi' },
    args: ['--query-gpu=name,driver_version,memory.total,memory.used', '--format=csv,noheader'],
  },
  {
    ...{ title: 'PyTorch', limit: 30, command: python },
    args: [
      '-c',
      'import torch; print(torch.__version__, "CUDA", torch.version.cuda, "finds", torch.cuda.device_count(), "cards")',
    ],
  },
]

/**
 * The parts that a device has: whether it is right, then how fast it is, beside PyTorch where that runs there. First in the
 * precision that matters most.
 */
const partsOf = (
  device: Device,
  { short, slow }: CardPlan,
): Readonly<Record<'first' | 'later', readonly CardPart[]>> => {
  const [rounds, steps, flags] = short ? ['1', '2', '2'] : ['3', '5', '1,2']
  const tiny = short || slow.has(device)
  const product = device === 'cpu' ? 'matmul' : 'product'
  const cases = tiny ? ['--tiny', ...(short ? ['--cases', 'stage2'] : [])] : ['--cases', `${product},emoji64`]
  const agreement = (precision: Precision): CardPart =>
    node(
      `${device} ${precision}: agreement with the CPU`,
      90,
      'card.mjs',
      ...['--agreement', device, precision, tiny ? 'tiny' : 'narrow32', flags, steps],
    )
  const bench = (precision: Precision, what: string, limit: number, peers: string): CardPart =>
    node(
      `${device} ${precision}: ${what}`,
      limit,
      'bench.mjs',
      ...['--device', device, '--compute', precision, ...cases, '--rounds', rounds, '--peers', peers],
      ...['--out', `runs/card/${device}-${precision}-${peers}`],
    )
  const [usual, ...others] = short ? precisionsOf[device].slice(0, 1) : precisionsOf[device]
  const beside = `steps of ${tiny ? 'the smallest networks' : 'emoji64'}${device === 'webgpu' ? '' : ' beside PyTorch'}`
  const both = (precision: Precision, limit: number): CardPart[] => [
    agreement(precision),
    bench(precision, beside, limit, 'pytorch'),
  ]
  const compiled = device === 'webgpu' ? [] : [bench(usual, 'through torch.compile', 120, 'pytorch-compiled')]
  return {
    first: both(usual, 120),
    later: [...compiled, ...others.flatMap((precision) => both(precision, 90))],
  }
}

/** All parts in order. @param python that has PyTorch, or is to say that it has none */
export const cardParts = (plan: CardPlan, python: string): CardPart[] => {
  const parts = plan.devices.map((device) => partsOf(device, plan))
  return [
    ...versions(python),
    ...parts.flatMap(({ first }) => first),
    ...parts.flatMap(({ later }) => later),
    ...(plan.short ? [] : [node('ul doctor', 90, 'commands/main.mjs', 'doctor')]),
  ]
}
