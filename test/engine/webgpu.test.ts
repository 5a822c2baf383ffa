/**
 * @file The runtime contract on WebGPU against the CPU, on the software driver SwiftShader of Debian's chromium, and
 * the refusal of devices that are not there. All in child processes: a driver may abort, and the loader reads its
 * environment when a process starts.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, type TestContext } from 'vitest'
import { temporaryFolder } from '../data/temporary.ts'
import { driverVariables, swiftShader, swiftShaderLack } from './swiftShader.ts'

const built = fileURLToPath(new URL('../../dist/node.mjs', import.meta.url))
if (!existsSync(built)) throw new Error(`${built} is missing: run 'npm run build' before these tests`)

const child = fileURLToPath(new URL('./webgpuChild.mjs', import.meta.url))
const runtimeFolder = await temporaryFolder()

/** The driver of the child: SwiftShader, or none at all. */
const driverEnv = (icd: string): NodeJS.ProcessEnv => ({
  ...process.env,
  ...driverVariables(icd, runtimeFolder),
})

/** Runs the child and returns what it printed as JSON. Three minutes are for slow machines: seconds are usual. */
const runChild = <T>(args: readonly string[], icd: string): Promise<T> =>
  new Promise((resolve, reject) => {
    const options = { env: driverEnv(icd), timeout: 180_000, killSignal: 'SIGKILL' as const }
    const running = spawn(process.execPath, [child, ...args], options)
    let [stdout, stderr] = ['', '']
    running.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk
    })
    running.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk
    })
    running.once('error', reject)
    running.once('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as T)
      else reject(new Error(`${child} ${args.join(' ')} ended with ${code ?? signal}: ${stderr}`))
    })
  })

const skip = (context: TestContext, reason: string): void => {
  process.stderr.write(`skipped '${context.task.name}': ${reason}\n`)
  context.skip(reason)
}

interface Traffic {
  readonly toDevice: number
  readonly toHost: number
}

interface OnDevice {
  /** Bytes that crossed in five steps, and bytes of what those were fed and returned; by program of the step. */
  readonly traffic: readonly Traffic[]
  readonly expected: readonly Traffic[] | null
  /** Copies between host and device that ONNX Runtime put into the step. */
  readonly copies: readonly string[]
  /** Loss and gradient norm of every step. */
  readonly losses: readonly number[]
  /** Where the state was at any time. */
  readonly locations: readonly string[]
  readonly roundTrip: boolean
}

interface Comparison {
  readonly cpu: OnDevice
  readonly gpu: OnDevice
  /** Relative difference of every state tensor between the devices, and from where it started. */
  readonly errors: Readonly<Record<string, number>>
  readonly moved: Readonly<Record<string, number>>
}

interface Limited {
  readonly limits: object
  /** How a program of a larger tensor, and one in half precision, fail. */
  readonly refusal: string
  readonly half: string
  /** An element of a product of ones, on the CPU after all this. */
  readonly onCpu: number
}

describe('WebGPU', () => {
  const trainsAlike = async (context: TestContext, parts: number): Promise<void> => {
    if (swiftShaderLack !== null) skip(context, swiftShaderLack)
    const { cpu, gpu, errors, moved } = await runChild<Comparison>(['train', String(parts)], swiftShader)
    expect(cpu.locations).toEqual(['cpu'])
    expect(gpu.locations).toEqual(['gpu-buffer'])
    expect([cpu.roundTrip, gpu.roundTrip]).toEqual([true, true])
    expect(cpu.traffic).toEqual(cpu.traffic.map(() => ({ toDevice: 0, toHost: 0 })))
    expect(gpu.traffic).toEqual(gpu.expected)
    expect(gpu.copies).toEqual([])
    expect(cpu.losses).toHaveLength(10)
    expect(gpu.losses).toHaveLength(10)
    for (const [i, expected] of cpu.losses.entries()) {
      expect(expected).toBeGreaterThan(0)
      expect(Math.abs(gpu.losses[i] / expected - 1), `loss or norm ${i}`).toBeLessThan(1e-3)
    }
    const names = Object.keys(errors)
    expect(new Set(names.map((name) => name.split('/')[0]))).toEqual(
      new Set(['param', 'moment1', 'moment2', 'ema']),
    )
    for (const name of names) {
      expect(errors[name], name).toBeLessThan(1e-3)
      // Ten times what they may differ by: agreement by standing still would not count.
      expect(moved[name], name).toBeGreaterThan(1e-2)
    }
  }

  it('trains stage 1 as the CPU does, with the state on the device', (context) => trainsAlike(context, 1))

  it('trains it in two parts, too, with the sums on the device', (context) => trainsAlike(context, 2))

  it('tells what the adapter takes: a larger tensor is refused, and half precision fails as it says', async (context) => {
    if (swiftShaderLack !== null) skip(context, swiftShaderLack)
    const { limits, refusal, half, onCpu } = await runChild<Limited>(['limits'], swiftShader)
    expect(limits).toEqual({
      ...{ adapter: expect.stringMatching(/^SwiftShader/), tensorBytes: 2 ** 30, float16: false },
      isSoftware: true,
    })
    expect(refusal).toMatch(
      /^program large: its largest tensor, concat \(.*\), takes 1152 MiB, but the adapter 'SwiftShader.*' takes 1024 MiB at most; /,
    )
    expect(onCpu).toBe(64)
    // As it is without the check, which the limit is thus true to.
    expect(half).toMatch(/^program product: this GPU or its driver has no half precision arithmetic/)
  })

  it('without an adapter is refused in one sentence that says what to do', async (context) => {
    const messages = await runChild<Record<string, string | null>>(['refuse', 'webgpu'], '/nonexistent.json')
    if (Object.values(messages).includes(null)) skip(context, 'there is an adapter besides Vulkan here')
    for (const [what, message] of Object.entries(messages)) {
      expect(message, what).toMatch(
        /^device webgpu: ONNX Runtime could not start it \([^\n]*adapter[^\n]*\); /,
      )
      expect(message, what).toMatch(
        /a Vulkan, Metal or D3D12 driver is needed \('ul doctor' says more\); use --device cpu otherwise$/,
      )
    }
  })
})

describe('CUDA', () => {
  it('without its provider is refused in one sentence that names what to install', async (context) => {
    const messages = await runChild<Record<string, string | null>>(['refuse', 'cuda'], '/nonexistent.json')
    if (Object.values(messages).includes(null)) skip(context, 'CUDA works here')
    for (const [what, message] of Object.entries(messages)) {
      expect(message, what).toMatch(
        /^device cuda: ONNX Runtime could not start it \([^\n]*\); install CUDA 13, cuDNN 9/,
      )
      expect(message!.split('\n'), what).toHaveLength(1)
    }
  })
})
