/**
 * @file The faults of docs/reliability.md, planted: what is left must resume to the bits of an unbroken run, and say what was
 * wrong. Prints a line for each kind, and fails when one case does.
 *
 *   npm run build && node tools/faults.mjs kills 300     SIGKILL at random moments of training and saving
 *   node tools/faults.mjs kill [every]                   SIGKILL in the middle of each change of the run's directory
 *   node tools/faults.mjs full [every]                   the disk is full from each write on
 *   node tools/faults.mjs io [every]                     each change fails once, as by a damaged disk
 *   node tools/faults.mjs removed [every]                the directory is removed before each change
 *   node tools/faults.mjs short [bytes …]                no system call writes more bytes than that
 *   node tools/faults.mjs readonly                       nothing can be written
 *   node tools/faults.mjs damage 100                     one damage of the newest checkpoint at random
 *   node tools/faults.mjs writers 20                     two processes train in one directory at once
 *
 * `every` takes each so-many-th change alone, 1 when absent. UL_SEED changes what is drawn at random.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { readSafetensors } from 'unified-latents/node'

const cli = fileURLToPath(new URL('../dist/commands/main.mjs', import.meta.url))
const hook = new URL('faultHook.mjs', import.meta.url).href
const work = mkdtempSync(join(tmpdir(), 'faults-'))
const images = join(work, 'images')
const stages = ['stage1', 'stage2']
const steps = 6

/** Numbers from 0 to 1, the same at every run. */
let state = Number(process.env.UL_SEED ?? 1)
const uniform = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 2 ** 32
}
const below = (n) => Math.floor(uniform() * n)

const drawImages = async () => {
  for (const [kind, colour] of [
    ['a', 40],
    ['b', 200],
  ]) {
    mkdirSync(join(images, kind), { recursive: true })
    for (let i = 0; i < 12; i++) {
      const raw = Buffer.from(
        Array.from({ length: 768 }, (_, k) => (k * (i + 3) + colour * (1 + (k % 5))) % 256),
      )
      const image = sharp(raw, { raw: { width: 16, height: 16, channels: 3 } })
      await image.png().toFile(join(images, kind, `${i}.png`))
    }
  }
}

const settings = {
  'data.source': 'folder',
  'data.path': images,
  'data.size': 16,
  'encoder.channels': '[8, 8]',
  'prior.width': 32,
  'prior.blocks': 1,
  'decoder.channels': '[8]',
  'decoder.width': 32,
  'decoder.blocks': 1,
  'base.widths': '[32, 32]',
  'base.blocks': '[1, 1]',
  'train.batch': 4,
  'train.stage2.batch': 4,
  'train.logEvery': 2,
  'train.checkpointEvery': 2,
  'train.keepCheckpoints': 2,
  'train.sampleEvery': 3,
  'sampler.steps': 2,
  'sampler.decoderSteps': 1,
}
const training = (run, set = settings, more = steps) => [
  ...['train', 'quickstart', '--smoke', '--steps', String(more)],
  ...Object.entries(set).flatMap(([key, value]) => ['--set', `${key}=${value}`]),
  ...['--out', run],
]

/** Runs `ul`; `started` gets the process. */
const ul = (args, { fault, dir, count, started = () => undefined } = {}) =>
  new Promise((resolve) => {
    const env = { ...process.env, UL_CACHE: join(work, 'cache'), NO_COLOR: '1' }
    if (fault !== undefined) Object.assign(env, { UL_FAULT: fault, UL_FAULT_DIR: dir })
    if (count !== undefined) env.UL_FAULT_COUNT = count
    const flags = fault === undefined ? [] : ['--import', hook]
    const child = spawn(process.execPath, [...flags, cli, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (text) => (stdout += text))
    child.stderr.on('data', (text) => (stderr += text))
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
    started(child)
  })

const newest = (run, stage) => {
  const names = readdirSync(join(run, 'checkpoints'))
    .filter((name) => name.startsWith(`${stage}-`))
    .sort()
  return join(run, 'checkpoints', names.at(-1))
}

const short64 = (hash) => hash.digest('hex').slice(0, 16)
const order = (a, b) => (a.stage === b.stage ? a.step - b.step : a.stage < b.stage ? -1 : 1)

/** What training gave: a hash of all tensors of the last checkpoints, one of the log without the clock, and what is left over. */
const outcome = (run) => {
  const hash = createHash('sha256')
  for (const stage of stages) {
    const { tensors } = readSafetensors(join(newest(run, stage), 'state.safetensors'))
    for (const name of Object.keys(tensors).sort()) {
      const { data } = tensors[name]
      hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    }
  }
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n')
  const records = lines.map((line) => ({ ...JSON.parse(line), imagesPerSecond: 0 })).sort(order)
  const log = createHash('sha256').update(JSON.stringify(records))
  const left = readdirSync(run, { recursive: true }).filter((name) => /(^|\/)(\.tmp-|\.lock)/.test(name))
  return `tensors ${short64(hash)}, log ${short64(log)} of ${lines.length} lines, left over [${left}]`
}

const failures = []
/** Counts a case; says what went wrong with it. */
const expect = (what, problems) => {
  const found = problems.filter((problem) => problem !== null)
  if (found.length > 0) failures.push(what)
  for (const problem of found) process.stderr.write(`${what}: ${problem}\n`)
}
const equals = (what, a, b) => (a === b ? null : `${what} is ${a}, expected ${b}`)
const sentence = ({ code, stderr }) => {
  const said = stderr.split('\n').filter((line) => line.startsWith('ul: '))
  return code === 1 && said.length === 1
    ? null
    : `ended with ${code} and ${JSON.stringify(stderr.slice(-300))}`
}

/** Resumes without a fault and compares with the unbroken run. */
const resumed = async (run, unbroken) => {
  const { code, stderr } = await ul(training(run))
  if (code !== 0) return [`resume ended with ${code}: ${stderr.slice(-300)}`]
  return [
    equals('the outcome', outcome(run), unbroken),
    stderr.includes('is used instead') ? `a checkpoint was damaged: ${stderr}` : null,
  ]
}

const unbrokenRun = join(work, 'unbroken')
const trainUnbroken = async () => {
  await drawImages()
  const { code, stderr } = await ul(training(unbrokenRun))
  if (code !== 0) throw new Error(stderr)
  return outcome(unbrokenRun)
}

const kills = async (count, unbroken) => {
  const started = performance.now()
  await ul(training(join(work, 'timed')))
  const seconds = (performance.now() - started) / 1000
  let [killed, chains] = [0, 0]
  for (let chain = 0; killed < count; chain++) {
    const run = join(work, `chain-${chain}`)
    for (;;) {
      const delay = 1000 * seconds * uniform() * 1.1
      let timer
      const { signal, code, stderr } = await ul(training(run), {
        started: (child) => {
          timer = setTimeout(() => child.kill('SIGKILL'), delay)
        },
      })
      clearTimeout(timer)
      if (signal === 'SIGKILL') killed++
      const damaged = stderr.includes('is used instead') ? 'a kill damaged a checkpoint' : null
      if (signal !== 'SIGKILL') {
        expect(`kills: chain ${chain}`, [
          equals('the status', code, 0),
          damaged,
          equals('the outcome', outcome(run), unbroken),
        ])
        chains++
        break
      }
      expect(`kills: chain ${chain}`, [damaged])
      if (killed >= count) {
        expect(`kills: chain ${chain}`, await resumed(run, unbroken))
        chains++
        break
      }
    }
    rmSync(run, { recursive: true, force: true })
  }
  return `${killed} random kills in ${chains} runs`
}

/** Changes of the directory in an unbroken run. */
const changesOf = async () => {
  const [run, count] = [join(work, 'counted'), join(work, 'count')]
  await ul(training(run), { fault: 'count:0', dir: run, count })
  return Number(readFileSync(count, 'utf8'))
}

const atEachChange = async (kind, every, unbroken) => {
  const changes = await changesOf()
  let cases = 0
  for (let at = 1; at <= changes; at += every) {
    const run = join(work, `${kind}-${at}`)
    const ended = await ul(training(run), { fault: `${kind}:${at}`, dir: run })
    // Nothing fails of a full disk where nothing more is written, and what removes may fail for good.
    const isDone = ended.code === 0
    const how =
      kind === 'kill' ? equals('the signal', ended.signal, 'SIGKILL') : isDone ? null : sentence(ended)
    expect(`${kind} at change ${at} of ${changes}`, [how, ...(await resumed(run, unbroken))])
    cases++
    rmSync(run, { recursive: true, force: true })
  }
  return `${kind} at ${cases} of ${changes} changes`
}

const short = async (sizes, unbroken) => {
  for (const bytes of sizes) {
    const run = join(work, `short-${bytes}`)
    const { code, stderr } = await ul(training(run), { fault: `short:${bytes}`, dir: run })
    expect(`writes of ${bytes} bytes`, [
      code === 0
        ? equals('the outcome', outcome(run), unbroken)
        : `ended with ${code}: ${stderr.slice(-300)}`,
    ])
  }
  return `writes of at most ${sizes.join(', ')} bytes`
}

const readonly = async (unbroken) => {
  const run = join(work, 'readonly')
  cpSync(unbrokenRun, run, { recursive: true })
  const uses = {
    train: training(run),
    export: ['export', unbrokenRun, '--out', run],
    evaluate: ['evaluate', run, '--samples', '8'],
  }
  for (const [name, args] of Object.entries(uses)) {
    const ended = await ul(args, { fault: 'readonly:1', dir: run })
    const wanted = name === 'export' ? (ended.code === 2 ? null : sentence(ended)) : sentence(ended)
    expect(`readonly, ul ${name}`, [wanted, equals('the outcome', outcome(run), unbroken)])
  }
  const { code } = await ul(['sample', run, '-n', '2', '--out', join(work, 'o.png')], {
    fault: 'readonly:1',
    dir: run,
  })
  expect('readonly, ul sample', [equals('the status', code, 0)])
  return 'a run that cannot be written to: train, export, evaluate --samples, sample'
}

const flip = (file, at) => {
  const bytes = readFileSync(file)
  bytes[at] ^= 1 << below(8)
  writeFileSync(file, bytes)
}
/** Another printable character in place of one that is no space. */
const retype = (file, from, to) => {
  const bytes = readFileSync(file)
  let at = from + below(to - from)
  while (/\s/.test(String.fromCharCode(bytes[at]))) at = from + below(to - from)
  bytes[at] = bytes[at] === 0x78 ? 0x79 : 0x78
  writeFileSync(file, bytes)
}
const headerEnd = (file) => 8 + Number(readFileSync(file).readBigUInt64LE())
const damages = {
  value: (path) => {
    const file = join(path, 'state.safetensors')
    const head = headerEnd(file)
    flip(file, head + below(statSync(file).size - head))
  },
  block: (path) => {
    const file = join(path, 'state.safetensors')
    const bytes = readFileSync(file)
    const head = headerEnd(file)
    const at = head + below(bytes.length - head - 4096)
    for (let i = at; i < at + 4096; i++) bytes[i] = below(256)
    writeFileSync(file, bytes)
  },
  header: (path) => {
    const file = join(path, 'state.safetensors')
    retype(file, 8, headerEnd(file))
  },
  length: (path) => flip(join(path, 'state.safetensors'), below(8)),
  record: (path) => {
    const file = join(path, 'state.json')
    retype(file, 0, statSync(file).size)
  },
  cut: (path) => {
    const file = join(path, ['state.safetensors', 'state.json'][below(2)])
    truncateSync(file, below(statSync(file).size - 1))
  },
  longer: (path) => {
    const file = join(path, 'state.safetensors')
    writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.alloc(1 + below(9))]))
  },
  older: (path) => {
    const others = readdirSync(join(path, '..')).filter(
      (name) => name.slice(0, 7) === path.split('/').at(-1).slice(0, 7),
    )
    cpSync(join(path, '..', others.sort()[0], 'state.safetensors'), join(path, 'state.safetensors'))
  },
}

const damage = async (count, unbroken) => {
  const counts = {}
  for (let i = 0; i < count; i++) {
    const kinds = Object.keys(damages)
    const kind = kinds[i % kinds.length]
    const stage = stages[Math.floor(i / kinds.length) % 2]
    const run = join(work, `damage-${i}`)
    cpSync(unbrokenRun, run, { recursive: true })
    const path = newest(run, stage)
    damages[kind](path)
    const { code, stderr } = await ul(training(run))
    const said = stderr.split('\n').some((line) => line.includes(path) && line.includes('is used instead'))
    expect(`damage ${i}, ${kind} of ${stage}`, [
      equals('the status', code, 0),
      said ? null : 'nothing was said',
      equals('the outcome', outcome(run), unbroken),
    ])
    counts[kind] = (counts[kind] ?? 0) + 1
    rmSync(run, { recursive: true, force: true })
  }
  return `${count} damaged checkpoints (${Object.entries(counts)
    .map(([kind, n]) => `${kind} ${n}`)
    .join(', ')})`
}

const writers = async (count, unbroken) => {
  let refused = 0
  for (let i = 0; i < count; i++) {
    const run = join(work, `writers-${i}`)
    // Half of the pairs find the lock of a writer that was killed.
    if (i % 2 === 1) await ul(training(run), { fault: `kill:${20 + below(60)}`, dir: run })
    const ended = await Promise.all([ul(training(run)), ul(training(run))])
    const turnedAway = ended.filter(
      ({ code, stderr }) => code === 1 && stderr.includes('another process writes there'),
    )
    refused += turnedAway.length
    expect(`writers ${i}`, [
      turnedAway.length === 1 && ended.some(({ code }) => code === 0)
        ? null
        : `ended with ${ended.map(({ code, stderr }) => `${code} ${stderr.slice(-200)}`).join(' and ')}`,
      ended.some(({ code }) => code === 0) ? equals('the outcome', outcome(run), unbroken) : null,
    ])
    rmSync(run, { recursive: true, force: true })
  }
  return `${count} pairs of writers, ${refused} refused`
}

const [kind, ...counts] = process.argv.slice(2)
const [given] = counts.map(Number)
const kinds = {
  kills: (unbroken) => kills(given ?? 300, unbroken),
  kill: (unbroken) => atEachChange('kill', given ?? 1, unbroken),
  full: (unbroken) => atEachChange('full', given ?? 1, unbroken),
  io: (unbroken) => atEachChange('io', given ?? 1, unbroken),
  removed: (unbroken) => atEachChange('removed', given ?? 1, unbroken),
  short: (unbroken) => short(counts.length > 0 ? counts : [1000, 100, 7], unbroken),
  readonly,
  damage: (unbroken) => damage(given ?? 100, unbroken),
  writers: (unbroken) => writers(given ?? 20, unbroken),
}
if (!Object.hasOwn(kinds, kind ?? '')) {
  process.stderr.write(`usage: node tools/faults.mjs ${Object.keys(kinds).join('|')} [count]\n`)
  process.exit(2)
}
if (!existsSync(cli)) throw new Error(`${cli} is missing: run 'npm run build' first`)
try {
  const text = await kinds[kind](await trainUnbroken())
  process.stdout.write(
    `${text}: ${failures.length === 0 ? 'all as promised' : `${failures.length} FAILED`}\n`,
  )
} finally {
  rmSync(work, { recursive: true, force: true })
}
process.exitCode = failures.length === 0 ? 0 : 1
