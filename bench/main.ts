/** @file `npm run bench`: training steps, sampling and blocks beside peers, in alternation on the same machine. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { NodeRuntime } from '../src/engine/runtime/node/runtime.ts'
import { writeSafetensors } from '../src/files/safetensors.ts'
import type { Case, Tensors } from './case.ts'
import { allCases, matmulCase } from './cases.ts'
import { alternate, spreadOf, type Warm, warmUp } from './measure.ts'
import { type Participant, type Served, serve, start } from './peer.ts'
import { serveJax } from './peers/jax.ts'
import { serveTfjs } from './peers/tfjs.ts'
import { ownLaunch, type Peer, peers } from './peers.ts'
import { row, tableHead, writeReport } from './report.ts'
import type { CaseResult, PeerResult } from './result.ts'

/** Largest relative difference of values between a peer and us. */
const tolerance = 1e-3
/** A peer does not take part in the rounds when one run takes this many seconds and this many times as long as ours. */
const patience = { seconds: 15, times: 5 }

// ---- serving ----------------------------------------------------------------------------------------------------

/** Prepares one of our works and writes what peers need to a file. */
const prepareOurs =
  (own: Case) =>
  async (path: string): Promise<Served> => {
    const runtime = new NodeRuntime()
    const work = await own.prepare(runtime, ({ params, inputs, expected, info }) => {
      const named = (kind: string, tensors: Tensors) =>
        Object.entries(tensors).map(([name, t]) => [`${kind}/${name}`, t] as const)
      const tensors = [...named('param', params), ...named('input', inputs), ...named('expected', expected)]
      writeSafetensors(path, Object.fromEntries(tensors), { case: JSON.stringify(info) })
    })
    return { ...work, errors: {}, description: `ONNX Runtime, ${runtime.threads} threads` }
  }

const caseByName = (name: string): Case => {
  const found = allCases().find((own) => own.name === name)
  if (found === undefined) {
    throw new InvalidArgumentError(
      `there is no case '${name}'; the cases are ${allCases().map((own) => own.name)}.`,
    )
  }
  return found
}

const serveOne = async (who: string, caseName: string): Promise<void> => {
  if (who === 'tfjs') await serve(serveTfjs)
  else if (who === 'jax') await serve(serveJax)
  else await serve(prepareOurs(caseByName(caseName)))
}

// ---- comparing --------------------------------------------------------------------------------------------------

const ours = (own: Case): Participant => start(ownLaunch('ours', own.name))

interface Ready extends Warm {
  readonly peer: Peer
  readonly variant: string
  readonly description: string
  readonly error: number
}

/** Starts a peer in each of its variants and keeps the fastest; a sentence when there is nothing to compare with. */
const fastest = async (
  peer: Peer,
  caseName: string,
  path: string,
  ourSeconds: number,
): Promise<Ready | string> => {
  const variants = peer.variants(caseName)
  if (typeof variants === 'string') return variants
  let best: Ready | undefined
  for (const { name, launch } of variants) {
    const participant = start(launch)
    try {
      const { errors, description } = await participant.prepare(path)
      const [worst, error] = Object.entries(errors).sort(([, a], [, b]) => b - a)[0]
      if (!(error < tolerance)) throw new Error(`its ${worst} differs from ours by ${error}`)
      const { seconds } = await warmUp(participant)
      if (seconds > Math.max(patience.seconds, patience.times * ourSeconds))
        throw new Error(`one run takes ${seconds.toFixed(0)} s`)
      const ready = { peer, variant: name, description, participant, error, seconds }
      if (best !== undefined && best.seconds <= ready.seconds) {
        participant.close()
      } else {
        best?.participant.close()
        best = ready
      }
    } catch (cause) {
      participant.close()
      best?.participant.close()
      return (cause as Error).message
    }
  }
  return best!
}

/** Measures one case beside the peers that can do it. */
const compare = async (
  own: Case,
  matmul: Warm & { readonly gflops: number },
  installed: readonly Peer[],
  rounds: number,
  path: string,
): Promise<CaseResult> => {
  const us = ours(own)
  const ready: Ready[] = []
  const skipped: Record<string, string> = {}
  try {
    const gflops = (await us.prepare(path)).gflops!
    const warm = await warmUp(us)
    for (const peer of installed.filter(({ variants }) => variants(own.name).length > 0)) {
      const found = await fastest(peer, own.name, path, warm.seconds)
      if (typeof found === 'string') skipped[peer.name] = found
      else ready.push(found)
    }
    const others = Object.fromEntries(ready.map((theirs) => [theirs.peer.name, theirs]))
    const all: Readonly<Record<string, Warm>> = { ours: warm, matmul, ...others }
    const { measured, disturbance } = await alternate(all, rounds)
    const { seconds, peakBytes } = measured.ours
    const ratiosTo = (times: readonly number[], factor: number): number[] =>
      seconds.map((own, i) => (factor * times[i]) / own)
    return {
      name: own.name,
      title: own.title,
      gflopsPerRun: gflops,
      seconds: spreadOf(seconds),
      shareOfMatmul: spreadOf(ratiosTo(measured.matmul.seconds, gflops / matmul.gflops)),
      peakBytes,
      disturbance,
      skipped,
      peers: ready.map(({ peer, variant, description, error }): PeerResult => {
        const theirs = measured[peer.name]
        const ratio = spreadOf(ratiosTo(theirs.seconds, 1))
        const settings = [description, variant].filter((part) => part !== '').join(', ')
        return {
          name: peer.name,
          settings,
          error,
          seconds: spreadOf(theirs.seconds),
          ratio,
          peakBytes: theirs.peakBytes,
        }
      }),
    }
  } finally {
    us.close()
    for (const { participant } of ready) participant.close()
  }
}

interface Options {
  readonly cases: readonly Case[]
  readonly peers: readonly Peer[]
  readonly rounds: number
  readonly out: string
}

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const bench = async ({ cases, peers: wanted, rounds, out }: Options): Promise<void> => {
  const installed = wanted.filter((peer) => {
    const there = peer.isInstalled()
    if (!there) print(`${peer.name} is not installed and is left out; to compare: ${peer.install}`)
    return there
  })
  const folder = mkdtempSync(join(tmpdir(), 'ul-bench-'))
  const path = join(folder, 'case.safetensors')
  const participant = ours(matmulCase)
  try {
    const gflops = (await participant.prepare(path)).gflops!
    const matmul = { ...(await warmUp(participant)), gflops }
    print(tableHead)
    const results: CaseResult[] = []
    for (const own of cases) {
      results.push(await compare(own, matmul, installed, rounds, path))
      print(row(results.at(-1)!))
      mkdirSync(out, { recursive: true })
      await writeReport(out, results)
    }
  } finally {
    participant.close()
    rmSync(folder, { recursive: true })
  }
}

// ---- options ----------------------------------------------------------------------------------------------------

/** Cases by name or by the part of a name before or after its slash. */
const parseCases = (text: string): Case[] =>
  text.split(',').flatMap((name) => {
    const found = allCases().filter((own) => own.name === name || own.name.split('/').includes(name))
    return found.length > 0 ? found : [caseByName(name)]
  })

const parsePeers = (text: string): Peer[] =>
  text.split(',').map((name) => {
    const found = peers.find((peer) => peer.name === name)
    if (found === undefined)
      throw new InvalidArgumentError(`the peers are ${peers.map((peer) => peer.name).join(', ')}.`)
    return found
  })

const parseRounds = (text: string): number => {
  const rounds = Number(text)
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new InvalidArgumentError('expected a whole number from 1 on.')
  return rounds
}

const help = `
Cases: ${allCases()
  .map((own) => own.name)
  .join(', ')}.
A peer that is not installed is left out and the command that installs it is shown; JavaScript peers may also lie in
$UL_BENCH_PEERS/node_modules, and $UL_BENCH_PYTHON names another python3. Ratios above 1 mean that we are faster.

Example:
  npm run bench -- --cases stage1,resblock --peers pytorch --rounds 9`

const [serving, who, caseName] = process.argv.slice(2)
if (serving === '--serve') {
  await serveOne(who, caseName)
} else {
  await new Command('bench')
    .description('Times Unified Latents beside PyTorch, TensorFlow.js and jax-js, one after the other.')
    .addOption(
      new Option('--cases <names>', 'names or their parts').argParser(parseCases).default(allCases(), 'all'),
    )
    .addOption(
      new Option('--peers <names>', 'pytorch, pytorch-usual, tfjs, jax')
        .argParser(parsePeers)
        .default([...peers], 'all'),
    )
    .option('--rounds <n>', 'rounds that count', parseRounds, 7)
    .option('--out <folder>', 'where bench.json and bench.png go', 'runs/bench')
    .addHelpText('after', help)
    .action(bench)
    .parseAsync()
}
process.exit(0)
