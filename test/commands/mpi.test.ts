/**
 * @file `mpirun ul train …`: processes that share a batch train what one trains, and a process that dies ends all of them, with
 * nothing lost. Left out where no MPI is installed. UL_KILLS=20 kills as often, once otherwise.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { floats } from '../../src/engine/host/tensor.ts'
import {
  differingTensors,
  type Finished,
  inWork,
  type JsonLine,
  jsonLines,
  makeImages,
  metricsOf,
  tensorsOf,
  tinySteps,
  tinyTraining,
  ul,
  workFolder,
} from './ul.ts'

const cli = fileURLToPath(new URL('../../dist/commands/main.mjs', import.meta.url))

/** A launcher, and what starts processes with it, however few cores there are. */
interface Launcher {
  readonly name: string
  readonly command: string
  readonly options: readonly string[]
}

const launchers: readonly Launcher[] = [
  { name: 'Open MPI', command: 'mpirun.openmpi', options: ['--oversubscribe', '--bind-to', 'none'] },
  { name: 'MPICH', command: 'mpiexec.mpich', options: [] },
]
const isThere = ({ command }: Launcher): boolean => spawnSync(command, ['--version']).status === 0
const [openMpi, mpich] = launchers

const environment = {
  ...process.env,
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  UL_CACHE: inWork('cache'),
}

/** Starts `ul` in so many processes of one thread. @param onStart gets the launcher's process */
const launch = (
  { command, options }: Launcher,
  size: number,
  args: readonly string[],
  {
    onStart = () => undefined,
    env = {},
  }: {
    readonly onStart?: (child: ChildProcess) => void
    readonly env?: Readonly<Record<string, string>>
  } = {},
): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, ['-n', `${size}`, ...options, process.execPath, cli, ...args], {
      cwd: workFolder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...environment, ...env },
    })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
    onStart(child)
  })

const onOneThread = ['--threads', '1', '--json']
let images = ''
const training = (out: string): string[] => [...tinyTraining(images, inWork(out)), ...onOneThread]

/** ‖a − b‖/‖b‖ of all parameters that two runs ended with, the larger of the two stages'. */
const distance = (a: string, b: string): number =>
  Math.max(
    ...['stage1', 'stage2'].map((stage) => {
      const [x, y] = [tensorsOf(inWork(a), stage, tinySteps), tensorsOf(inWork(b), stage, tinySteps)]
      const names = Object.keys(x).filter((name) => name.startsWith('param/'))
      let [squares, all] = [0, 0]
      for (const name of names) {
        const other = floats(y[name])
        for (const [i, v] of floats(x[name]).entries()) squares += (v - other[i]) ** 2
        for (const v of other) all += v * v
      }
      return Math.sqrt(squares / all)
    }),
  )

/** Files of a run that were left half written. */
const leftovers = (run: string): string[] =>
  readdirSync(inWork(run), { recursive: true })
    .map(String)
    .filter((name) => name.includes('.tmp'))

beforeAll(async () => {
  images = await makeImages('images-mpi')
  expect(await ul(training('one'))).toMatchObject({ code: 0, stderr: '' })
})

describe.each(
  launchers
    .filter(isThere)
    .flatMap((launcher) => (launcher === openMpi ? [2, 4] : [2]).map((size) => ({ ...launcher, size }))),
)('$size processes of $name', ({ size, ...launcher }) => {
  const name = `${launcher.command}-${size}`

  it('train what one process trains, and one of them speaks', async () => {
    const finished = await launch(launcher, size, training(name))
    expect(finished).toMatchObject({ code: 0 })
    const events = jsonLines(finished)
    const steps = events.filter(({ event }) => event === 'step').map(({ stage, step }) => `${stage} ${step}`)
    expect(new Set(steps).size).toBe(steps.length)
    expect(steps).toHaveLength(2 * tinySteps)
    expect(distance(name, 'one')).toBeLessThan(1e-5)
    const [own, one] = [metricsOf(inWork(name)), metricsOf(inWork('one'))]
    expect(own).toHaveLength(one.length)
    for (const [i, { loss }] of own.entries()) {
      if (typeof loss === 'number') expect(loss / Number(one[i].loss)).toBeCloseTo(1, 4)
    }
    expect(existsSync(inWork(name, 'report.html'))).toBe(true)
  })
})

describe.skipIf(!isThere(openMpi))('three processes', () => {
  const command = async (size: number, ...args: readonly string[]): Promise<JsonLine> => {
    const all = [...args, ...onOneThread]
    const finished = size === 1 ? await ul(all) : await launch(openMpi, size, all)
    expect(finished).toMatchObject({ code: 0 })
    const done = jsonLines(finished).filter(({ event }) => event === 'done')
    expect(done).toHaveLength(1)
    return done[0]
  }
  const bytesIn = (file: string): Buffer => readFileSync(inWork(file))

  it('encode to the same bytes', async () => {
    for (const size of [1, 3])
      expect(
        await command(size, 'encode', inWork('one'), images, '--out', inWork(`${size}.safetensors`)),
      ).toMatchObject({
        count: 24,
      })
    expect(bytesIn('3.safetensors').equals(bytesIn('1.safetensors'))).toBe(true)
  })

  it('sample the same files, and the same grid', async () => {
    for (const size of [1, 3]) {
      await command(size, 'sample', inWork('one'), '-n', '70', '--out', `${inWork(`samples-${size}`)}/`)
      await command(size, 'sample', inWork('one'), '-n', '5', '--out', inWork(`grid-${size}.png`))
    }
    const names = readdirSync(inWork('samples-1'))
    expect(names).toHaveLength(70)
    expect(readdirSync(inWork('samples-3'))).toEqual(names)
    for (const name of names)
      expect(bytesIn(`samples-3/${name}`).equals(bytesIn(`samples-1/${name}`)), name).toBe(true)
    expect(bytesIn('grid-3.png').equals(bytesIn('grid-1.png'))).toBe(true)
  })

  it('measure the same figures', async () => {
    const measure = (size: number) => command(size, 'evaluate', inWork('one'), '--samples', '40', '--no-bias')
    const [one, three] = [await measure(1), await measure(3)]
    const { imagesPerSecond: _, ...expected } = one
    const { imagesPerSecond: __, ...found } = three
    expect(found).toEqual(expected)
    expect(Number(one.imagesPerSecond)).toBeGreaterThan(0)
  })

  it('share the runs of a sweep, and each is what it would be alone', async () => {
    const [, preset, ...rest] = tinyTraining(images, 'unused').slice(0, -2)
    const settings = rest.filter((arg, i) => arg === '--set' || rest[i - 1] === '--set')
    const short = ['train.stage1.steps=4', 'train.stage2.steps=4'].flatMap((text) => ['--set', text])
    const sweep = async (size: number): Promise<void> => {
      const all = [
        ...['sweep', preset, '--grid', 'decoder.lossFactor=2,4', '--samples', '16'],
        ...[...settings, ...short, '--out', inWork(`sweep-${size}`), ...onOneThread],
      ]
      expect(size === 1 ? await ul(all) : await launch(openMpi, size, all)).toMatchObject({ code: 0 })
    }
    await sweep(1)
    await sweep(2)
    const runs = readdirSync(inWork('sweep-1')).sort()
    expect(runs).toHaveLength(2)
    expect(readdirSync(inWork('sweep-2')).sort()).toEqual(runs)
    for (const run of runs) {
      const figures = (size: number): unknown =>
        JSON.parse(bytesIn(`sweep-${size}/${run}/seed-0/quality.json`).toString('utf8'))
      expect(figures(2)).toMatchObject({ generation: (figures(1) as { generation: object }).generation })
    }
  })
})

describe.skipIf(!isThere(openMpi))('what cannot be done together', () => {
  /** What was said, once where several processes came to say it. */
  const sentence = ({ stderr }: Finished): string[] => {
    const lines = stderr.split('\n').filter((line) => line.startsWith('ul: '))
    return [...new Set(lines.map((line) => line.replace(/^ul: process \d of \d: /, 'ul: ')))]
  }

  it('a batch that the processes do not share evenly', async () => {
    const finished = await launch(openMpi, 3, training('uneven'))
    expect(finished.code).toBe(2)
    expect(sentence(finished)).toEqual([
      'ul: the batch of stage1 is 8, which 3 processes do not share evenly; start another number of them, or set another batch',
    ])
    expect(existsSync(inWork('uneven'))).toBe(false)
  })

  it('a command that works in one process', async () => {
    const finished = await launch(openMpi, 2, ['info', 'study'])
    expect(finished).toMatchObject({ code: 2, stdout: '' })
    expect(sentence(finished)).toEqual([
      'ul: ul info works in one process, but Open MPI started 2; start it without a launcher',
    ])
  })

  it('a library that is not there', async () => {
    const finished = await launch(openMpi, 2, training('no-library'), { env: { UL_MPI: 'libnone.so' } })
    expect(finished.code).toBe(1)
    expect(sentence(finished)).toEqual([
      'ul: mpi: Open MPI started this process, but none of libnone.so can be loaded; install its MPI library, or name another in UL_MPI',
    ])
  })

  it.skipIf(!isThere(mpich))('a library of another MPI than the launcher', async () => {
    const finished = await launch(openMpi, 2, training('wrong'), { env: { UL_MPI: 'libmpich.so.12' } })
    expect(finished.code).toBe(1)
    expect(sentence(finished)[0]).toMatch(
      /^ul: mpi: Open MPI started 2 processes, but libmpich\.so\.12 \(MPICH Version: [\d.]+\) finds 1 process; use launcher and library of one MPI, /,
    )
  })
})

/** The processes that a process started, deepest last. */
const childrenOf = (pid: number): number[] => {
  try {
    const own = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
    return own.map(Number)
  } catch {
    return []
  }
}

describe.skipIf(!isThere(openMpi))('four processes of which one is killed', () => {
  beforeAll(async () => {
    expect(await launch(openMpi, 4, training('unbroken'))).toMatchObject({ code: 0 })
  })

  it('end within 30 s, and go on to the same bits', async () => {
    const kills = Number(process.env.UL_KILLS ?? 1)
    let killed = 0
    rmSync(inWork('killed'), { recursive: true, force: true })
    for (let i = 0; killed < kills; i++) {
      let at = 0
      const finished = await launch(openMpi, 4, training('killed'), {
        onStart: (child) => {
          // Anywhere between start and end; which process dies changes, too.
          setTimeout(
            () => {
              const victim = childrenOf(child.pid!)[i % 4]
              if (victim === undefined) return
              at = performance.now()
              process.kill(victim, 'SIGKILL')
            },
            500 + ((i * 2_654_435_761) % 7000),
          )
        },
      })
      if (at > 0 && finished.code !== 0) {
        killed++
        expect(performance.now() - at).toBeLessThan(30_000)
        continue
      }
      // It came to its end before.
      expect(finished.code).toBe(0)
      expect(differingTensors(inWork('killed'), inWork('unbroken'))).toEqual([])
      rmSync(inWork('killed'), { recursive: true })
    }
    // Other processes go on as well: as few as two, and as many as before.
    if (existsSync(inWork('killed'))) cpSync(inWork('killed'), inWork('fewer'), { recursive: true })
    expect(await launch(openMpi, 4, training('killed'))).toMatchObject({ code: 0 })
    expect(differingTensors(inWork('killed'), inWork('unbroken'))).toEqual([])
    expect(leftovers('killed')).toEqual([])
    expect(await launch(openMpi, 2, training('fewer'))).toMatchObject({ code: 0 })
    expect(distance('fewer', 'unbroken')).toBeLessThan(1e-5)
  })

  it('stop together when told to, save, and go on', async () => {
    const finished = await launch(openMpi, 2, training('stopped'), {
      onStart: (child) => {
        const look = setInterval(() => {
          if (!existsSync(join(inWork('stopped'), 'checkpoints'))) return
          clearInterval(look)
          for (const process of childrenOf(child.pid!)) globalThis.process.kill(process, 'SIGTERM')
        }, 50)
        child.once('exit', () => clearInterval(look))
      },
    })
    expect(finished.code).not.toBe(0)
    const stopped = jsonLines(finished).filter(({ event }) => event === 'stopped')
    expect(stopped).toHaveLength(1)
    expect(await launch(openMpi, 2, training('stopped'))).toMatchObject({ code: 0 })
    const whole = await launch(openMpi, 2, training('two'))
    expect(whole.code).toBe(0)
    expect(differingTensors(inWork('stopped'), inWork('two'))).toEqual([])
  })
})
