/** @file `npm run bench`: training steps, sampling and blocks beside peers, in alternation on the same machine and device. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { type Precision, precisions } from '../src/engine/runtime/node/precision.ts'
import type { Device } from '../src/engine/runtime/runtime.ts'
import { casesInPage } from './browser/cases.ts'
import type { Case } from './case.ts'
import { casesOn } from './cases.ts'
import { compare, warmOurs } from './compare.ts'
import { start } from './peer.ts'
import { type Peer, peersOn } from './peers.ts'
import type { Place } from './place.ts'
import { row, tableHead, writeReport } from './report.ts'
import type { CaseResult } from './result.ts'
import { launchOurs, serveAs } from './serving.ts'
import { devices, isSoftware, runtimeOn, type Target, usualPrecisions } from './target.ts'

interface Options {
  readonly device: Device
  readonly compute?: readonly Precision[]
  readonly cases?: readonly string[]
  readonly peers?: readonly string[]
  readonly tiny?: boolean
  readonly browser?: boolean
  readonly rounds: number
  readonly out: string
}

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** Cases by name or by the part of a name before or after its slash. */
const chosenCases = (all: readonly Case[], names: readonly string[] = all.map(({ name }) => name)): Case[] =>
  names.flatMap((name) => all.filter((own) => own.name === name || own.name.split('/').includes(name)))

/** @throws naming the first name that is no case of any place */
const expectCases = (places: readonly Pick<Place, 'cases'>[], names: readonly string[] = []): void => {
  const all = places.flatMap(({ cases }) => cases)
  const unknown = names.find((name) => chosenCases(all, [name]).length === 0)
  if (unknown === undefined) return
  const known = [...new Set(all.map(({ name }) => name))].join(', ')
  throw new Error(`there is no case '${unknown}' there; the cases are ${known}`)
}

const chosenPeers = (all: readonly Peer[], names: readonly string[] | undefined): readonly Peer[] =>
  names === undefined ? all : names.flatMap((name) => all.filter((peer) => peer.name === name))

const withInstalled = (wanted: readonly Peer[]): Peer[] =>
  wanted.filter((peer) => {
    const there = peer.isInstalled()
    if (!there) print(`${peer.name} is not installed and is left out; to compare: ${peer.install}`)
    return there
  })

/** A device of this program. */
const placeOn = (target: Target, tiny: boolean): Place => ({
  target,
  cases: casesOn(target.device, tiny || isSoftware(runtimeOn(target))),
  peers: peersOn(target),
  startOurs: (own) => start(launchOurs(own, target)),
})

/** Measures the cases of a place, and tells of each as it is done. */
const benchAt = async (
  { cases: all, peers, ...place }: Place,
  options: Options,
  tell: (result: CaseResult) => Promise<void>,
): Promise<void> => {
  const { device } = place.target
  const cases = chosenCases(all, options.cases)
  if (cases.length === 0) return
  const installed = withInstalled(chosenPeers(peers, options.peers))
  const folder = mkdtempSync(join(tmpdir(), 'ul-bench-'))
  const handed = { ...place, path: join(folder, 'case.safetensors') }
  try {
    const product = await warmOurs(all[0], handed)
    try {
      if (device !== 'cpu' || options.browser === true) print(product.description)
      if (peers.length === 0) print(`no peer runs on ${device}: what follows is ours alone`)
      print(tableHead)
      for (const own of cases)
        await tell(await compare(own, { ...handed, product, installed, rounds: options.rounds }))
    } finally {
      product.participant.close()
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const bench = async (options: Options): Promise<void> => {
  const { device, compute = usualPrecisions[device], out } = options
  const results: CaseResult[] = []
  const at = (place: Place): Promise<void> =>
    benchAt(place, options, async (result) => {
      results.push(result)
      print(row(result))
      mkdirSync(out, { recursive: true })
      await writeReport(out, results)
    })
  if (options.browser === true) {
    expectCases(
      Object.values(casesInPage).map((cases) => ({ cases })),
      options.cases,
    )
    // Vite and Playwright are loaded for this alone.
    const { inBrowser } = await import('./browser/run.ts')
    return inBrowser(at)
  }
  const places = compute.map((precision) => placeOn({ device, precision }, options.tiny === true))
  expectCases(places, options.cases)
  for (const place of places) await at(place)
}

// ---- options ----------------------------------------------------------------------------------------------------

const listOf =
  <Name extends string>(known: readonly Name[] | null) =>
  (text: string): Name[] =>
    text.split(',').map((name) => {
      if (known !== null && !known.includes(name as Name))
        throw new InvalidArgumentError(`'${name}' is none of ${known.join(', ')}.`)
      return name as Name
    })

const parseRounds = (text: string): number => {
  const rounds = Number(text)
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new InvalidArgumentError('expected a whole number from 1 on.')
  return rounds
}

const peerNames = [...new Set(devices.flatMap((device) => peersOn({ device, precision: 'float32' })))].map(
  ({ name }) => name,
)

const help = `
Cases on the CPU: ${casesOn('cpu', false)
  .map((own) => own.name)
  .join(', ')}.
On other devices: ${casesOn('cuda', false)
  .map((own) => own.name)
  .join(', ')}; on a software adapter, whose times say nothing of a card, ${casesOn('webgpu', true)
  .map((own) => own.name)
  .join(', ')}.
In a page (--browser): ${casesInPage.wasm.map((own) => own.name).join(', ')}; by WebGPU ${casesInPage.webgpu
  .map((own) => own.name)
  .join(', ')}.
A peer that is not installed is left out and the command that installs it is shown; JavaScript peers may also lie in
$UL_BENCH_PEERS/node_modules, and $UL_BENCH_PYTHON names another python3. Ratios above 1 mean that we are faster.

Examples:
  npm run bench -- --cases stage1,resblock --peers pytorch --rounds 9
  npm run bench -- --browser --rounds 5
  npm run bench -- --device cuda --compute tf32,float16 --cases emoji64`

const [serving, ...asked] = process.argv.slice(2)
if (serving === '--serve') {
  await serveAs(asked)
} else {
  const command = new Command('bench')
    .description('Times Unified Latents beside PyTorch, TensorFlow.js and jax-js, one after the other.')
    .addOption(new Option('--device <device>', 'where to run').choices([...devices]).default('cpu'))
    .addOption(
      new Option(
        '--compute <types>',
        'float32, tf32 (cuda), float16 (webgpu, cuda; PyTorch takes bfloat16); default float32, on cuda all three',
      ).argParser(listOf(precisions)),
    )
    .addOption(new Option('--cases <names>', 'names or their parts (default: all)').argParser(listOf(null)))
    .addOption(
      new Option('--peers <names>', `${[...new Set(peerNames)].join(', ')} (default: all)`).argParser(
        listOf([...new Set(peerNames)]),
      ),
    )
    .option(
      '--browser',
      'blocks in headless Chromium: by WebAssembly beside tfjs and jax-js, by WebGPU alone',
    )
    .option('--tiny', 'the smallest networks alone, to try the benchmark itself')
    .option('--rounds <n>', 'rounds that count', parseRounds, 7)
    .option('--out <folder>', 'where bench.json and bench.png go', 'runs/bench')
    .addHelpText('after', help)
    .action(bench)
  try {
    await command.parseAsync()
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n`)
    process.exit(1)
  }
}
process.exit(0)
