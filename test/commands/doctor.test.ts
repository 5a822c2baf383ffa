/** @file `ul doctor` on this machine, and on one where nothing else is installed. */
import { spawnSync } from 'node:child_process'
import { afterEach, expect, it, vi } from 'vitest'
import { jsonLines, startUl } from './ul.ts'

afterEach(() => vi.unstubAllEnvs())

const findings = async () => {
  const finished = await startUl(['doctor', '--json'])
  expect(finished).toMatchObject({ code: 0, stderr: '' })
  const lines = jsonLines(finished)
  expect(lines.at(-1)).toEqual({ event: 'done', faults: [] })
  return new Map(lines.slice(0, -1).map((line) => [line.about, line]))
}

it('times the CPU, names versions, and says of everything else whether it is there', async () => {
  const found = await findings()
  const cpu = found.get('cpu')
  expect(cpu).toMatchObject({ state: 'ok', facts: { elsewhere: {} } })
  const { productGflopsPerSecond, kernels } = cpu!.facts as Record<string, number>
  expect(productGflopsPerSecond).toBeGreaterThan(1)
  expect(kernels).toBeGreaterThan(100)
  expect(found.get('versions')).toMatchObject({ facts: { node: process.versions.node } })
  for (const about of ['webgpu', 'cuda', 'mpi library', 'mpi launcher', 'ffmpeg', 'ffprobe'])
    expect(found.get(about)?.state, about).toMatch(/^(ok|absent)$/)
  const hasFfmpeg = spawnSync('ffmpeg', ['-version']).status === 0
  expect(found.get('ffmpeg')?.state).toBe(hasFfmpeg ? 'ok' : 'absent')
})

it('says what is missing and what to do, without programs and drivers', async () => {
  vi.stubEnv('PATH', '/nowhere')
  vi.stubEnv('VK_DRIVER_FILES', '/nowhere/driver.json')
  vi.stubEnv('VK_ICD_FILENAMES', '/nowhere/driver.json')
  const { code, stdout, stderr } = await startUl(['doctor'])
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^ok {6}cpu: product of 1024×1024 at \d+ GFLOP\/s/m)
  expect(stdout).toMatch(/^absent {2}webgpu: /m)
  expect(stdout).toMatch(/^absent {2}ffmpeg: .*\n {8}install it \(Debian's package is ffmpeg\)/m)
  expect(stdout).toMatch(/^absent {2}mpi launcher: none of mpirun/m)
  expect(stdout).not.toMatch(/\n {4}at /)
  expect(stdout).toMatch(/\neverything that is there works\n$/)
})
