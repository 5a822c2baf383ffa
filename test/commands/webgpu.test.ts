/** @file Commands on WebGPU that ask for more than the adapter has: refused in one sentence before anything is written. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { driverVariables, swiftShader, swiftShaderLack } from '../engine/swiftShader.ts'
import { startUl, workFolder } from './ul.ts'

beforeEach((context) => {
  if (swiftShaderLack !== null) context.skip(swiftShaderLack)
  for (const [name, value] of Object.entries(driverVariables(swiftShader, workFolder)))
    vi.stubEnv(name, value)
})
afterEach(() => vi.unstubAllEnvs())

it('half precision where the adapter has none', async () => {
  const { code, stdout, stderr } = await startUl([
    ...['train', 'study', '--smoke', '--device', 'webgpu', '--compute', 'float16', '--out', 'half'],
  ])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(
    /^ul: --compute float16: the adapter 'SwiftShader.*' has no half precision arithmetic \(shader-f16\); leave --compute at float32\n$/,
  )
  expect(existsSync(join(workFolder, 'half'))).toBe(false)
})

it('a batch whose tensors exceed the adapter, with the parts that fit', async () => {
  const { code, stderr } = await startUl([
    ...['train', 'study', '--smoke', '--device', 'webgpu', '--out', 'large'],
    ...['--set', 'train.batch=8192', '--set', 'decoder.width=1024'],
  ])
  expect(code).toBe(2)
  expect(stderr).toMatch(
    /ul: the largest tensor of stage1, .* takes \d+ MiB, but the adapter 'SwiftShader.*' takes 1024 MiB at most; set train\.accumulate=\d+ or a smaller batch\n$/,
  )
  expect(existsSync(join(workFolder, 'large', 'checkpoints'))).toBe(false)
})
