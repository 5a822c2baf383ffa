/** @file What is said of a device by how the process ended that tried it. */
import { expect, it } from 'vitest'
import type { DeviceReport } from '../../src/doctor/device.ts'
import { deviceFinding } from '../../src/doctor/devices.ts'

const report: DeviceReport = {
  ...{ productGflopsPerSecond: 98.7, stepMilliseconds: 12.34, stepGflopsPerSecond: 45.6, kernels: 900 },
  elsewhere: {},
  limits: null,
}
const ended = { code: 0, signal: null, stdout: `${JSON.stringify(report)}\n`, stderr: '' }

it('that works: its rates, and what runs on another provider', () => {
  expect(deviceFinding('cpu', ended)).toEqual({
    ...{ about: 'cpu', state: 'ok', facts: report },
    text: 'product of 1024×1024 at 99 GFLOP/s, small training step in 12.3 ms (46 GFLOP/s), all 900 kernels run there',
  })
  const elsewhere = { Gather: 2, Where: 1 }
  const fallen = deviceFinding('webgpu', { ...ended, stdout: JSON.stringify({ ...report, elsewhere }) })
  expect(fallen.text).toMatch(/2 Gather, 1 Where of 900 kernels run on another provider$/)
})

it.each([
  [
    { adapter: 'Card', tensorBytes: 2 ** 30, isSoftware: true, float16: false },
    /, Card, a software adapter \(tensors up to 1024 MiB, no half precision\)$/,
  ],
  [
    { adapter: 'Card', tensorBytes: 2 ** 31, isSoftware: false, float16: true },
    /, Card \(tensors up to 2048 MiB, half precision\)$/,
  ],
  [
    { adapter: null, tensorBytes: 2 ** 27, isSoftware: null, float16: null },
    /cannot be asked .* \(tensors of 128 MiB are sure to fit\)$/,
  ],
])('that has limits: %o', (limits, text) => {
  const stdout = JSON.stringify({ ...report, limits })
  expect(deviceFinding('webgpu', { ...ended, stdout }).text).toMatch(text)
})

it.each([
  [
    'webgpu',
    { code: 1, stderr: 'ul: device webgpu: no adapter; use --device cpu\n' },
    'absent',
    /no adapter/,
  ],
  ['cuda', { code: null, signal: 'SIGSEGV' }, 'fault', /^the process that tried it was ended by SIGSEGV$/],
  ['cpu', { code: 1, stderr: '' }, 'fault', /^the process that tried it ended with status 1$/],
  ['webgpu', { code: 0, stdout: '' }, 'absent', /ended with status 0/],
] as const)('%s that does not: %o', (device, how, state, text) => {
  const finding = deviceFinding(device, { ...ended, stdout: '', ...how })
  expect(finding).toMatchObject({ about: device, state })
  expect(finding.text).toMatch(text)
})
