/**
 * @file `npm run card`: everything worth knowing of a machine with a card, unattended and in less than ten minutes. Parts run one after the
 * other, each in a process with a time limit; what they say goes to a file as they say it, so that whatever ends the
 * machine leaves what was found by then.
 */
import { spawn, spawnSync } from 'node:child_process'
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Precision } from '../src/engine/runtime/node/precision.ts'
import type { Device } from '../src/engine/runtime/runtime.ts'
import { agreement } from './agreement.ts'
import { type CardPart, cardParts } from './cardParts.ts'
import { configByName } from './cases.ts'
import { devices, isSoftware, runtimeOn } from './target.ts'

/** Seconds that all parts take together at most. */
const mostSeconds = 570

type Tell = (text: string) => void

/** How a part ended: in words, after what it said itself. */
const runPart = (
  { command, args }: CardPart,
  { seconds, env, tell }: { readonly seconds: number; readonly env: NodeJS.ProcessEnv; readonly tell: Tell },
): Promise<string> =>
  new Promise((resolve) => {
    const begin = performance.now()
    const took = (): string => `${((performance.now() - begin) / 1000).toFixed(0)} s`
    // In a group of its own: it has children, which must end with it.
    const child = spawn(command, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    let complaints = ''
    let isLate = false
    const end = (): void => {
      isLate = true
      process.kill(-child.pid!, 'SIGKILL')
    }
    const timer = setTimeout(end, seconds * 1000)
    child.stdout.setEncoding('utf8').on('data', tell)
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-4000)
    })
    child.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      resolve(error.code === 'ENOENT' ? `${command} is not found` : `not run: ${error.message}`)
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      // Node ends what it says of a crash with its version.
      const said = complaints
        .split('\n')
        .findLast((line) => /\S/.test(line) && !/^Node\.js v|^ +at /.test(line))
      if (isLate) resolve(`left after ${took()}`)
      else if (code === 0) resolve(`done in ${took()}`)
      else resolve(`failed after ${took()}: ${said || `ended with ${signal ?? `status ${code}`}`}`)
    })
  })

/** A Python that has PyTorch; where none has, the first that there is. */
const findPython = (): string => {
  const candidates = [process.env.UL_BENCH_PYTHON ?? 'python3', '/usr/bin/python3']
  const has = (python: string): boolean => spawnSync(python, ['-c', 'import torch']).status === 0
  return candidates.find(has) ?? candidates[0]
}

/** The environment of all parts: pip's packages of CUDA's libraries lie where no loader looks for them. */
const environment = (python: string): NodeJS.ProcessEnv => {
  const find =
    'import glob, sys; print(":".join(f for p in sys.path for f in sorted(glob.glob(p + "/nvidia/*/lib"))))'
  const { stdout } = spawnSync(python, ['-c', find], { encoding: 'utf8' })
  const folders = [process.env.LD_LIBRARY_PATH, stdout?.trim()].filter((text) => text)
  return {
    ...process.env,
    UL_BENCH_PYTHON: python,
    ...(folders.length > 0 && { LD_LIBRARY_PATH: folders.join(':') }),
  }
}

/** Whether a device is there and computes on the CPU. */
const isSlow = (device: Device): boolean => {
  try {
    return isSoftware(runtimeOn({ device, precision: 'float32' }))
  } catch {
    return false // what it lacks is said by its parts
  }
}

interface Options {
  readonly devices: readonly Device[]
  readonly out: string
  readonly short?: boolean
}

const check = async ({ devices: chosen, out, short = false }: Options): Promise<void> => {
  mkdirSync(dirname(out), { recursive: true })
  writeFileSync(out, '')
  const tell: Tell = (text) => {
    appendFileSync(out, text)
    process.stdout.write(text)
  }
  const [begin, python] = [performance.now(), findPython()]
  const env = environment(python)
  tell(`Node ${process.versions.node}, ${new Date().toISOString()}\n`)
  for (const part of cardParts({ devices: chosen, short, slow: new Set(chosen.filter(isSlow)) }, python)) {
    const left = mostSeconds - (performance.now() - begin) / 1000
    tell(`\n## ${part.title}\n`)
    const seconds = Math.min(part.limit, left)
    tell(seconds < 1 ? '-- no time is left\n' : `-- ${await runPart(part, { seconds, env, tell })}\n`)
  }
}

const listOfDevices = (text: string): Device[] =>
  text.split(',').map((name) => {
    const found = devices.find((device) => device === name)
    if (found === undefined) throw new InvalidArgumentError(`the devices are ${devices.join(', ')}.`)
    return found
  })

const [serving, device, precision, config, flags, steps] = process.argv.slice(2)
if (serving === '--agreement') {
  const target = { device: device as Device, precision: precision as Precision }
  try {
    const what = { flags: flags.split(','), count: Number(steps) }
    await agreement(target, configByName(config), what, (line) => process.stdout.write(`${line}\n`))
  } catch (error) {
    process.stderr.write(`card: ${(error as Error).message}\n`)
    process.exitCode = 1
  }
} else {
  await new Command('card')
    .description(
      'Checks a machine with a card in less than ten minutes: agreement, speed, PyTorch beside it.',
    )
    .addOption(
      new Option('--devices <names>', 'in this order').argParser(listOfDevices).default(['webgpu', 'cuda']),
    )
    .option('--out <file>', 'where everything goes', 'runs/card/card.txt')
    .option('--short', 'try the check itself: the smallest networks, one round')
    .action(check)
    .parseAsync()
}
