/**
 * @file Every way to end a command from outside: it is heard at once, what was done is saved, one sentence says so where
 * anyone can still read it, and the exit code tells which it was. `UL_ENDINGS=20` takes each way twenty times.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { latestCheckpoint } from '../../src/runs/checkpoint.ts'
import { differingTensors, inWork, makeImages, tinyTraining, ul, workFolder } from './ul.ts'

const cli = fileURLToPath(new URL('../../dist/commands/main.mjs', import.meta.url))
const rounds = Array.from({ length: Number(process.env.UL_ENDINGS ?? 1) }, (_, i) => i)
/** Seconds within which an end is heard; more where tests share a machine with others. */
const promised = process.env.UL_ENDINGS === undefined ? 8 : 2

interface Texts {
  stdout: string
  stderr: string
}

/** What happens to a process from outside. */
interface Way {
  readonly name: string
  /** When, by what it has printed, or by anything else; at its start when absent. */
  readonly when?: (texts: Texts) => boolean
  readonly act?: (child: ChildProcess) => void
  /** Paths that stand for its stdout and its stderr. */
  readonly stdio?: readonly (string | undefined)[]
  readonly code: number
  readonly said: RegExp
}

/** Runs a command, and what happens to it. @returns seconds from there to its end */
const ended = (args: readonly string[], { when, act, stdio = [] }: Way) =>
  new Promise<Texts & { code: number | null; signal: string | null; seconds: number }>((resolve) => {
    const files = [0, 1].map((i) => (stdio[i] === undefined ? ('pipe' as const) : openSync(stdio[i], 'w')))
    const child = spawn(process.execPath, [cli, ...args], { cwd: workFolder, stdio: ['ignore', ...files] })
    for (const file of files) if (file !== 'pipe') closeSync(file)
    const texts: Texts = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const)
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        texts[name] += text
      })
    let acted: number | undefined
    const watch = setInterval(() => {
      if (acted !== undefined || when?.(texts) !== true) return
      acted = performance.now()
      act?.(child)
    }, 5)
    child.once('close', (code, signal) => {
      clearInterval(watch)
      const seconds = acted === undefined ? 0 : (performance.now() - acted) / 1000
      resolve({ ...texts, code, signal, seconds })
    })
  })

const kill =
  (signal: NodeJS.Signals) =>
  (child: ChildProcess): void =>
    void child.kill(signal)

const inTraining = ({ stdout, stderr }: Texts): boolean =>
  /"step":[3-9],"steps":/.test(stdout) || / [3-9]\/20 /.test(stderr)

const lostPipe = (stream: string): RegExp =>
  new RegExp(
    `^ul: nobody reads its ${stream} any more \\(EPIPE\\), so it was stopped; the same command resumes$`,
    'm',
  )
const lostDisk = (stream: string): RegExp =>
  new RegExp(
    `^ul: its ${stream} cannot be written \\(ENOSPC\\); give it a place with room, so it was stopped`,
    'm',
  )

const ofTraining: readonly Way[] = [
  ...(
    [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const
  ).map(
    ([name, code]): Way => ({
      name,
      when: inTraining,
      act: kill(name),
      code,
      said: /^stopped after step \d+ of stage1; the same command resumes$/m,
    }),
  ),
  {
    name: 'SIGINT while held-out images are measured',
    when: ({ stderr }) => stderr.includes('evaluating on held-out images'),
    act: kill('SIGINT'),
    code: 130,
    said: /^stopped; the same command resumes$/m,
  },
  {
    name: 'a reader of stdout who leaves',
    when: inTraining,
    act: (child) => child.stdout?.destroy(),
    code: 1,
    said: lostPipe('stdout'),
  },
  {
    name: 'a reader of stderr who leaves',
    when: inTraining,
    act: (child) => child.stderr?.destroy(),
    code: 1,
    said: lostPipe('stderr'),
  },
  {
    name: 'readers of both who leave',
    when: inTraining,
    act: (child) => {
      child.stdout?.destroy()
      child.stderr?.destroy()
    },
    code: 1,
    said: /^/,
  },
  { name: 'a full disk under stdout', stdio: ['/dev/full'], code: 1, said: lostDisk('stdout') },
  { name: 'a full disk under stderr', stdio: [undefined, '/dev/full'], code: 1, said: lostDisk('stderr') },
]

let images: string
let unbroken: string
beforeAll(async () => {
  images = await makeImages('images')
  unbroken = inWork('unbroken')
  expect((await ul(tinyTraining(images, unbroken))).code).toBe(0)
})

/** Takes a run up again. */
const expectSaved = async (run: string): Promise<void> => {
  expect(existsSync(join(run, 'report.html'))).toBe(false)
  expect((await ul(tinyTraining(images, run))).code).toBe(0)
  expect(differingTensors(run, unbroken)).toEqual([])
}

describe.each(ofTraining)('training ended by $name', (way) => {
  it.each(rounds)('is saved and goes on as if nothing had been (round %i)', async (round) => {
    const run = inWork(`${way.name.replaceAll(' ', '-')}-${round}`)
    const json = way.said.source.includes('stdout') || way.name.includes('both') ? ['--json'] : []
    const { stdout, stderr, code, signal, seconds } = await ended(
      [...tinyTraining(images, run), ...json],
      way,
    )
    expect([code, signal]).toEqual([way.code, null])
    expect(stdout + stderr).toMatch(way.said)
    expect(stdout + stderr).not.toMatch(/\n {4}at /)
    expect(seconds).toBeLessThan(promised)
    if (way.when === inTraining) expect(latestCheckpoint(run)!.step).toBeGreaterThanOrEqual(3)
    await expectSaved(run)
  })
})

const studentStage = ({ said, ...way }: Way): Way => ({
  ...way,
  said: new RegExp(said.source.replace('stage1', 'student'), 'm'),
})

describe.each(ofTraining.filter(({ when }) => when === inTraining).map(studentStage))(
  'teaching a decoder ended by $name',
  (way) => {
    const lesson = (out: string): string[] => [
      'distill',
      unbroken,
      '--train-steps',
      '20',
      '--batch',
      '4',
      '--out',
      out,
    ]
    let taught: string
    beforeAll(async () => {
      taught = inWork('taught')
      expect((await ul(lesson(taught))).code).toBe(0)
    })

    it.each(rounds)('is saved and goes on as if nothing had been (round %i)', async (round) => {
      const run = inWork(`student-${way.name.replaceAll(' ', '-')}-${round}`)
      const json = way.said.source.includes('stdout') || way.name.includes('both') ? ['--json'] : []
      const { stdout, stderr, code, signal, seconds } = await ended([...lesson(run), ...json], way)
      expect([code, signal]).toEqual([way.code, null])
      expect(stdout + stderr).toMatch(way.said)
      expect(stdout + stderr).not.toMatch(/\n {4}at /)
      expect(seconds).toBeLessThan(promised)
      expect(latestCheckpoint(run)!.step).toBeGreaterThanOrEqual(3)
      expect((await ul(lesson(run))).code).toBe(0)
      expect(differingTensors(run, taught, ['student'])).toEqual([])
    })
  },
)

const hasScript = spawnSync('script', ['--version']).status === 0

describe.skipIf(!hasScript)('a terminal that is closed under training', () => {
  /** Closes the terminal by ending `script`, which holds it. @param before in the shell before the command */
  const closed = async (run: string, before: string): Promise<string> => {
    const [log, status] = [`${run}.log`, `${run}.status`]
    const args = tinyTraining(images, run).map((arg) => `'${arg}'`)
    const command = `trap '' HUP; ${before} ${process.execPath} ${cli} ${args.join(' ')}; echo $? > ${status}`
    const terminal = spawn('script', ['-qfc', command, log], { cwd: workFolder, stdio: 'ignore' })
    const until = async (seen: () => boolean): Promise<void> => {
      while (!seen()) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await until(() => existsSync(log) && inTraining({ stdout: '', stderr: readFileSync(log, 'latin1') }))
    const start = performance.now()
    terminal.kill('SIGKILL')
    await until(() => existsSync(status) && readFileSync(status, 'utf8') !== '')
    expect((performance.now() - start) / 1000).toBeLessThan(promised)
    return readFileSync(status, 'utf8').trim()
  }

  it.each(rounds)('with SIGHUP, ends as by that, whichever is heard first (round %i)', async (round) => {
    const run = inWork(`terminal-${round}`)
    expect(await closed(run, '')).toBe('129')
    expect(latestCheckpoint(run)!.step).toBeGreaterThanOrEqual(3)
    await expectSaved(run)
  })

  it.each(rounds)('without SIGHUP, ends by the loss of its output (round %i)', async (round) => {
    const run = inWork(`detached-${round}`)
    expect(await closed(run, 'setsid -w')).toBe('129')
    expect(latestCheckpoint(run)!.step).toBeGreaterThanOrEqual(3)
    await expectSaved(run)
  })
})

describe('work that keeps nothing', () => {
  const entries = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : [])

  beforeAll(async () => {
    const [folder, giants] = [inWork('many'), inWork('giants')]
    await makeImages('many')
    const png = readFileSync(join(folder, 'discs', 'discs-0.png'))
    for (let i = 0; i < 400; i++) writeFileSync(join(folder, `${i}.png`), png)
    await makeImages('giants')
    const giant = await sharp({ create: { width: 7000, height: 7000, channels: 3, background: 'red' } })
      .png({ progressive: true, compressionLevel: 1 })
      .toBuffer()
    for (let i = 0; i < 16; i++) writeFileSync(join(giants, `${i}.png`), giant)
    expect((await ul(['encode', 'emoji64', folder, '--out', inWork('many.safetensors')])).code).toBe(0)
  })

  const cases = (round: number): readonly (readonly [string, readonly string[], Way['when']])[] => [
    [
      'decoding images',
      ['data', 'folder', '--path', inWork('giants'), '--size', `${16 + round}`],
      ({ stderr }) => stderr.includes('decoding'),
    ],
    [
      'encoding',
      ['encode', 'emoji64', inWork('many'), '--out', inWork(`encoded-${round}`, 'z.safetensors')],
      () => entries(inWork(`encoded-${round}`)).length > 0,
    ],
    [
      'decoding latents',
      ['decode', 'emoji64', inWork('many.safetensors'), '--out', inWork(`decoded-${round}`)],
      () => entries(inWork(`decoded-${round}`)).length > 0,
    ],
    [
      'sampling',
      ['sample', 'emoji64', '-n', '512', '--out', `${inWork(`sampled-${round}`)}/`],
      () => entries(inWork(`sampled-${round}`)).length > 0,
    ],
    [
      'reconstructing',
      ['reconstruct', 'emoji64', inWork('many')],
      ({ stdout }) => stdout.includes('bits/pixel'),
    ],
    [
      'measuring samples',
      ['evaluate', unbroken, '--samples', '2048'],
      () => false, // by the clock
    ],
  ]

  it.each(rounds.flatMap((round) => cases(round).map(([name], i) => [name, round, i] as const)))(
    'is left within two seconds of Ctrl-C: %s (round %i)',
    async (name, round, i) => {
      const [, args, when] = cases(round)[i]
      const start = performance.now()
      const way: Way = {
        name,
        when: name === 'measuring samples' ? () => performance.now() - start > 5000 : when,
        act: kill('SIGINT'),
        code: 130,
        said: /^ul: stopped by SIGINT before it was done$/m,
      }
      const { code, signal, stderr, seconds } = await ended(args, way)
      // What other threads are at is not waited for: then the signal itself ends the process, which shells call 130, too.
      expect([130, 'SIGINT']).toContain(code ?? signal)
      expect(stderr).toMatch(way.said)
      expect(seconds).toBeLessThan(promised)
      expect(entries(inWork(`encoded-${round}`))).toEqual([])
    },
  )
})
