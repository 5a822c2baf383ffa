/** @file Who takes part, how each is started, and what each cannot do. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Launch, type Participant, start } from './peer.ts'
import type { Target } from './target.ts'

/** One way of running a peer; the fastest is the one that counts. */
export interface Variant {
  readonly name: string
  /** Its process; absent where it runs in a page. */
  readonly launch?: Launch
  start(): Participant
}

const inProcess = (name: string, launch: Launch): Variant => ({ name, launch, start: () => start(launch) })

/** Someone to be compared with. */
export interface Peer {
  readonly name: string
  /** The command that installs it. */
  readonly install: string
  isInstalled(): boolean
  /** Its settings worth trying for a case; none when it is not asked, a sentence when it cannot do the case. */
  variants(caseName: string): readonly Variant[] | string
}

const threads = String(availableParallelism())

/** The environment without settings that slow a peer down. */
const cleanEnv = (): NodeJS.ProcessEnv => {
  const { OPENBLAS_CORETYPE: _, OPENBLAS_L2_SIZE: __, ...env } = process.env
  return env
}

// ---- PyTorch ----------------------------------------------------------------------------------------------------

const python = process.env.UL_BENCH_PYTHON ?? '/usr/bin/python3'
const pytorchFile = fileURLToPath(new URL('../bench/peers/pytorch.py', import.meta.url))

const hasAvx512 = (): boolean => /\bavx512vl\b/.test(readFileSync('/proc/cpuinfo', 'utf8'))

/**
 * What makes PyTorch fastest here. Its two thread pools (OpenMP's and OpenBLAS's) fight when idle threads spin; glibc
 * returns large blocks to the system after each use unless told to keep them, and takes huge pages only when asked; Debian's build stays at AVX2 unless asked.
 */
const pytorchEnv = (): NodeJS.ProcessEnv => ({
  ...cleanEnv(),
  OMP_NUM_THREADS: threads,
  OPENBLAS_NUM_THREADS: threads,
  OMP_WAIT_POLICY: 'PASSIVE',
  MALLOC_MMAP_THRESHOLD_: String(2 ** 32),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 32),
  MALLOC_TOP_PAD_: String(2 ** 28),
  GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
  ...(hasAvx512() ? { ATEN_CPU_CAPABILITY: 'avx512' } : {}),
})

/** The same without what few would think of: only threads that do not fight. */
const usualPytorchEnv = (): NodeJS.ProcessEnv => ({
  ...cleanEnv(),
  OMP_NUM_THREADS: threads,
  OPENBLAS_NUM_THREADS: threads,
  OMP_WAIT_POLICY: 'PASSIVE',
})

/** Settings of pytorch.py besides those of a target. */
interface PyTorchSettings {
  readonly usual?: boolean
  readonly compiled?: boolean
}

const pytorchPeer = (name: string, settings: PyTorchSettings, { device, precision }: Target): Peer => {
  const env = settings.usual === true ? usualPytorchEnv : pytorchEnv
  const variant = (variantName: string, own: object): Variant => {
    const args = [pytorchFile, JSON.stringify({ ...settings, ...own, device, precision })]
    return inProcess(variantName, { command: python, args, env: env() })
  }
  return {
    name,
    install: 'apt-get install python3-torch python3-numpy libopenblas0-pthread',
    isInstalled: () => spawnSync(python, ['-c', 'import torch, numpy']).status === 0,
    variants: (caseName) => {
      if (settings.compiled === true && !/^stage/.test(caseName)) return []
      return /^(block|matmul|product|stage2)/.test(caseName)
        ? [variant('', {})]
        : [variant('channels first', {}), variant('channels last', { channels_last: true })]
    },
  }
}

/** On the CPU or a card, in the precision of ours: tuned, through torch.compile, and as most training scripts have it. */
const pytorchOn = (target: Target): Peer[] => [
  pytorchPeer('pytorch', {}, target),
  pytorchPeer('pytorch-compiled', { compiled: true }, target),
  pytorchPeer('pytorch-usual', { usual: true }, target),
]

// ---- JavaScript -------------------------------------------------------------------------------------------------

/** Peers are looked for in $UL_BENCH_PEERS/node_modules, then beside this program. */
export const requirePeer = (name: string): unknown => {
  const folder = process.env.UL_BENCH_PEERS
  return createRequire(folder ? join(folder, 'index.js') : import.meta.url)(name)
}

const canRequire = (name: string): boolean => {
  try {
    requirePeer(name)
    return true
  } catch {
    return false
  }
}

/** This program as another participant. */
export const ownLaunch = (...args: readonly string[]): Launch => ({
  command: process.execPath,
  args: [process.argv[1], '--serve', ...args],
  env: cleanEnv(),
})

const javascript = (name: string, packages: readonly string[]): Peer => ({
  name,
  install: `npm install --no-save ${packages.join(' ')}`,
  isInstalled: () => packages.every((spec) => canRequire(spec.slice(0, spec.lastIndexOf('@')))),
  variants: (caseName) => {
    const kind = caseName.split('/')[0]
    if (!/^(block|resblock|matmul)$/.test(kind)) return []
    return [inProcess('', ownLaunch(name))]
  },
})

const javascriptPeers: readonly Peer[] = [
  javascript('tfjs', ['@tensorflow/tfjs@4.22.0', '@tensorflow/tfjs-backend-wasm@4.22.0']),
  javascript('jax', ['@jax-js/jax@0.1.25']),
]

/** Everyone who runs on a device, in the order of the table. */
export const peersOn = (target: Target): readonly Peer[] =>
  ({ cpu: [...pytorchOn(target), ...javascriptPeers], webgpu: [], cuda: pytorchOn(target) })[target.device]
