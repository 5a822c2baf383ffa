/** @file The check of a card's machine, tried without a card: from its start to its end, whatever is missing. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { cardParts } from '../../bench/cardParts.ts'
import { casesOn } from '../../bench/cases.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { driverVariables, swiftShader, swiftShaderLack } from '../engine/swiftShader.ts'

const built = fileURLToPath(new URL('../../dist/card.mjs', import.meta.url))
if (!existsSync(built)) throw new Error(`${built} is missing: run 'npm run build' before these tests`)
const folder = await temporaryFolder()

/** Runs the check and returns its exit status and what it printed. */
const runCard = (...args: readonly string[]): Promise<readonly [code: number | null, stdout: string]> =>
  new Promise((resolve, reject) => {
    const icd = swiftShaderLack === null ? swiftShader : '/nonexistent.json'
    const child = spawn(process.execPath, [built, ...args], {
      cwd: folder,
      env: { ...process.env, ...driverVariables(icd, folder) },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.once('error', reject)
    child.once('close', (code) => resolve([code, stdout]))
  })

/** What is said under each title. */
const sections = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text
      .split('\n## ')
      .slice(1)
      .map((section) => {
        const end = section.indexOf('\n')
        return [section.slice(0, end), section.slice(end + 1).trim()] as const
      }),
  )

it('goes through all its parts, and each that lacks its device says so in one line', {
  timeout: 400_000,
}, async () => {
  const file = join(folder, 'out', 'card.txt')
  const [code, stdout] = await runCard('--short', '--devices', 'cuda,cpu,webgpu', '--out', file)
  expect(code).toBe(0)
  expect(readFileSync(file, 'utf8')).toBe(stdout)
  const said = sections(stdout)
  const plan = { devices: ['cuda', 'cpu', 'webgpu'], short: true, slow: new Set() } as const
  expect([...said.keys()]).toEqual(
    cardParts({ ...plan, slow: new Set(['webgpu']) }, 'python3').map(({ title }) => title),
  )
  for (const [title, text] of said)
    expect(text.split('\n').at(-1), title).toMatch(
      /^-- (done in|failed after) \d+ s|^-- nvidia-smi is not found$/,
    )
  // The losses of the same steps on the same device are the same bits.
  expect(said.get('cpu float32: agreement with the CPU')).toMatch(
    /^tiny stage2, batch 2, cpu float32: over 2 steps .* differ from the CPU's by 0\.0e\+0 at most/,
  )
  expect(said.get('cpu float32: steps of the smallest networks beside PyTorch')).toMatch(
    /^tiny stage 2 step, batch 2 .* MiB/m,
  )
  const cuda = said.get('cuda tf32: agreement with the CPU')!
  if (!cuda.startsWith('tiny')) expect(cuda).toMatch(/^-- failed after \d+ s: card: [^\n]+$/)
  const webgpu = said.get('webgpu float32: agreement with the CPU')!
  if (swiftShaderLack !== null) return expect(webgpu).toMatch(/^-- failed after \d+ s: card: device webgpu: /)
  const [, difference] = /differ from the CPU's by (\S+) at most/.exec(webgpu) ?? []
  expect(Number(difference)).toBeGreaterThan(0)
  expect(Number(difference)).toBeLessThan(1e-3)
  expect(said.get('webgpu float32: steps of the smallest networks')).toMatch(
    /^ONNX Runtime, webgpu on SwiftShader .*, a software adapter, float32\nno peer runs on webgpu/,
  )
})

it('begins with what is there, then for each device whether it is right and how fast, in the precision that matters most', () => {
  const parts = cardParts({ devices: ['webgpu', 'cuda'], short: false, slow: new Set() }, 'python3')
  const titles = parts.map(({ title }) => title)
  expect(titles).toEqual([
    ...['card', 'PyTorch'],
    ...['webgpu float32: agreement with the CPU', 'webgpu float32: steps of emoji64'],
    ...['cuda tf32: agreement with the CPU', 'cuda tf32: steps of emoji64 beside PyTorch'],
    ...['webgpu float16: agreement with the CPU', 'webgpu float16: steps of emoji64'],
    'cuda tf32: through torch.compile',
    ...['cuda float32: agreement with the CPU', 'cuda float32: steps of emoji64 beside PyTorch'],
    ...['cuda float16: agreement with the CPU', 'cuda float16: steps of emoji64 beside PyTorch'],
    'ul doctor',
  ])
  const chosen = (device: 'cpu' | 'cuda'): string[] =>
    cardParts({ devices: [device], short: false, slow: new Set() }, 'python3').flatMap(({ args }) =>
      args.includes('--cases') ? args[args.indexOf('--cases') + 1].split(',') : [],
    )
  // A part of a name of every case that is asked for is one of the device's.
  for (const device of ['cpu', 'cuda'] as const)
    for (const name of chosen(device))
      expect(
        casesOn(device, false).flatMap((own) => own.name.split('/')),
        device,
      ).toContain(name)
  for (const { limit, title } of parts) expect(limit, title).toBeLessThanOrEqual(120)
})
