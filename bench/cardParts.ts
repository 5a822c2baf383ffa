/** @file The parts of a check on a card's machine, most valuable first: each is a process with a time limit of its own. */
import { fileURLToPath } from 'node:url'
import type { Device } from '../src/engine/runtime/runtime.ts'
import type { Precision } from './target.ts'

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

/** The parts that a device has: whether it is right, then how fast it is, beside PyTorch where that runs there. */
const partsOf = (device: Device, { short, slow }: CardPlan): CardPart[] => {
  const [rounds, steps] = short ? ['1', '2'] : ['3', '5']
  const tiny = short || slow.has(device)
  const cases = tiny ? ['--tiny'] : ['--cases', 'product,emoji64']
  const agreement = (precision: Precision): CardPart =>
    node(
      `${device} ${precision}: agreement with the CPU`,
      60,
      'card.mjs',
      ...['--agreement', device, precision, steps, tiny ? 'tiny' : 'narrow32'],
    )
  const bench = (precision: Precision, what: string, limit: number, peers: string): CardPart =>
    node(
      `${device} ${precision}: ${what}`,
      limit,
      'bench.mjs',
      ...['--device', device, '--compute', precision, ...cases, '--rounds', rounds, '--peers', peers],
      ...['--out', `runs/card/${device}-${precision}-${peers}`],
    )
  const [usual, ...others] = precisionsOf[device]
  const beside = 'product, emoji64 steps, PyTorch'
  return [
    agreement(usual),
    bench(usual, beside, 120, 'pytorch'),
    ...others.flatMap((precision) => [agreement(precision), bench(precision, beside, 90, 'pytorch')]),
    ...(device === 'webgpu' ? [] : [bench(usual, 'through torch.compile', 120, 'pytorch-compiled')]),
  ]
}

/** All parts in order. @param python that has PyTorch, or is to say that it has none */
export const cardParts = (plan: CardPlan, python: string): CardPart[] => [
  ...versions(python),
  ...plan.devices.flatMap((device) => partsOf(device, plan)),
  ...(plan.short ? [] : [node('ul doctor', 90, 'commands/main.mjs', 'doctor')]),
]
