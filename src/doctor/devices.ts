/** @file Every device, tried in a process of its own: a driver that crashes ends that and not this one. */
import { spawn } from 'node:child_process'
import { showMebibytes } from '../engine/runtime/limits.ts'
import type { Device } from '../engine/runtime/runtime.ts'
import type { Check, Finding } from './check.ts'
import type { DeviceReport } from './device.ts'

const devices: readonly Device[] = ['cpu', 'webgpu', 'cuda']
const mostMilliseconds = 120_000

/** How such a process ended. */
interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

const started = (args: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: mostMilliseconds,
    })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.once('error', (error) => resolve({ code: 1, signal: null, stdout, stderr: error.message }))
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })

const limitsText = (limits: DeviceReport['limits']): string => {
  if (limits === null) return ''
  const { adapter, tensorBytes, isSoftware, float16 } = limits
  const largest = showMebibytes(tensorBytes)
  if (adapter === null)
    return `, an adapter that cannot be asked for its limits (tensors of ${largest} are sure to fit)`
  const software = isSoftware === true ? ', a software adapter' : ''
  return `, ${adapter}${software} (tensors up to ${largest}, ${float16 === true ? '' : 'no '}half precision)`
}

const ofReport = (device: Device, report: DeviceReport): Finding => {
  const elsewhere = Object.entries(report.elsewhere)
  const fallen =
    elsewhere.length === 0
      ? `all ${report.kernels} kernels run there`
      : `${elsewhere.map(([operator, count]) => `${count} ${operator}`).join(', ')} of ${report.kernels} kernels run on another provider`
  return {
    about: device,
    state: 'ok',
    text: `product of 1024×1024 at ${report.productGflopsPerSecond.toFixed(0)} GFLOP/s, small training step in ${report.stepMilliseconds.toFixed(1)} ms (${report.stepGflopsPerSecond.toFixed(0)} GFLOP/s), ${fallen}${limitsText(report.limits)}`,
    facts: { ...report },
  }
}

/** What a process that was to try a device says for it. */
export const deviceFinding = (device: Device, { code, signal, stdout, stderr }: Ended): Finding => {
  const line = stdout.split('\n').find((text) => text.startsWith('{'))
  if (code === 0 && line !== undefined) return ofReport(device, JSON.parse(line) as DeviceReport)
  const said = stderr
    .split('\n')
    .find((text) => text.startsWith('ul: '))
    ?.slice('ul: '.length)
  const ended = signal === null ? `ended with status ${code}` : `was ended by ${signal}`
  return {
    about: device,
    // A GPU that is not there is no fault of this machine; the CPU is always there.
    state: device === 'cpu' || signal !== null ? 'fault' : 'absent',
    text: said ?? `the process that tried it ${ended}`,
  }
}

/** @param command what starts `ul` after Node's own path, such as [bin/ul.mjs] */
export const devicesBy = (command: readonly string[]): Check => ({
  name: 'devices',
  run: async () => {
    const findings: Finding[] = []
    // One after the other: they are timed.
    for (const device of devices)
      findings.push(deviceFinding(device, await started([...command, 'doctor', '--probe', device])))
    return findings
  },
})
