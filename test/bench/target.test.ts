/** @file Which cases and peers a device has in the benchmark, and what each peer is told. */
import { expect, it } from 'vitest'
import { caseInPage, casesInPage } from '../../bench/browser/cases.ts'
import { caseByName, casesOn } from '../../bench/cases.ts'
import { peersOn } from '../../bench/peers.ts'
import { isSoftware, runtimeOn, tolerances, usualPrecisions } from '../../bench/target.ts'

const names = (device: 'cpu' | 'webgpu' | 'cuda', software = false): string[] =>
  casesOn(device, software).map(({ name }) => name)

it('begins with the product that rates are compared with; off the CPU all else is training steps', () => {
  expect(names('cpu').slice(0, 2)).toEqual(['matmul', 'stage1/narrow32'])
  expect(names('cuda')).toEqual([
    'product/4096',
    ...['stage1', 'stage2'].flatMap((stage) =>
      ['narrow32', 'emoji64', 'wide128'].map((config) => `${stage}/${config}`),
    ),
  ])
  expect(names('webgpu')).toEqual(names('cuda'))
  expect(names('webgpu', true)).toEqual(['product/256', 'stage1/tiny', 'stage2/tiny'])
})

it('finds every case again by its name alone, as a process or a page of its own does', () => {
  const all = [...names('cpu'), ...names('cuda'), ...names('webgpu', true)]
  expect(all.map((name) => caseByName(name).name)).toEqual(all)
  for (const own of Object.values(casesInPage).flat()) expect(caseInPage(own.name)).toBe(own)
  expect(() => caseInPage('block/512')).toThrow("there is no case 'block/512' in a page")
  expect(() => caseByName('stage3/none')).toThrow(/^there is no case 'stage3\/none'; the cases are matmul,/)
})

it('compares with PyTorch on the same device in the same arithmetic, and with nobody on WebGPU', () => {
  expect(peersOn({ device: 'webgpu', precision: 'float32' })).toEqual([])
  const peers = peersOn({ device: 'cuda', precision: 'tf32' })
  expect(peers.map(({ name }) => name)).toEqual(['pytorch', 'pytorch-compiled', 'pytorch-usual'])
  for (const { variants } of peers) {
    for (const { launch } of variants('stage1/emoji64') as Exclude<ReturnType<typeof variants>, string>)
      expect(JSON.parse(launch!.args[1])).toMatchObject({ device: 'cuda', precision: 'tf32' })
  }
  const [, compiled] = peers
  expect(compiled.variants('block/128')).toEqual([])
  const onCpu = peersOn({ device: 'cpu', precision: 'float32' }).map(({ name }) => name)
  expect(onCpu).toEqual(['pytorch', 'pytorch-compiled', 'pytorch-usual', 'tfjs', 'jax'])
})

it('knows how far values may differ in every arithmetic that a device is measured in', () => {
  for (const precision of Object.values(usualPrecisions).flat())
    expect(tolerances[precision]).toBeLessThan(0.1)
  expect(isSoftware(runtimeOn({ device: 'cpu', precision: 'float32' }))).toBe(false)
})
