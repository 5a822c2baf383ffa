/**
 * @file The studio over many long runs: how long the first list takes after a cold start, the list from then on, a chart of ten
 * runs, and the memory of its process. Prints one JSON object.
 *
 *   node tools/studioScale.mjs BUILD [runs] [lines] [FOLDER]     BUILD holds dist/; 200 runs of 100,000 lines by default (4.5 GB)
 *
 * A FOLDER that is given is filled once and left; otherwise one is made and removed. The cold start is that of the process:
 * the files lie in the system's cache once they have been written.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const [build, runs = '200', lines = '100000', given] = process.argv.slice(2)
const folder = resolve(given ?? mkdtempSync(join(tmpdir(), 'studio-scale-')))
const cli = resolve(build, 'dist', 'commands', 'main.mjs')

/** Runs `ul` to its end; returns stdout. */
const ul = (...args) =>
  new Promise((done, fail) => {
    const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (piece) => {
      text += piece
    })
    child.once('close', (code) => (code === 0 ? done(text) : fail(new Error(`ul ${args[0]}: ${code}`))))
  })

/** A log as a run of two stages writes it; numbers have as many digits as real ones. */
const logText = () => {
  const half = Number(lines) / 2
  const noise = (i) => (Math.sin(i * 12.9898) * 43758.5453) % 1
  return Array.from({ length: Number(lines) }, (_, i) => {
    const step = 20 * ((i % half) + 1)
    const loss = 3 / Math.sqrt(step) + 0.01 * noise(i)
    const figures = { loss, gradNorm: 5 + noise(i + 1), bitsPerPixel: 0.4 + 0.1 * noise(i + 2) }
    const rest = { decoderNatsPerPixel: loss / 3, latentRms: 0.7 + 0.01 * noise(i + 3) }
    const speed = { lr: 0.008 / (1 + step / 1e5), skipped: 0, imagesPerSecond: 130 + noise(i + 4) }
    return `${JSON.stringify({ stage: i < half ? 'stage1' : 'stage2', step, ...figures, ...rest, ...speed })}\n`
  }).join('')
}

const nameOf = (i) => `run-${String(i).padStart(3, '0')}`

const fill = async () => {
  const config = await ul('train', 'quickstart', '--dry-run')
  const log = logText()
  for (let i = 0; i < Number(runs); i++) {
    const dir = join(folder, nameOf(i))
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, 'config.yaml'), config.replace(/lossFactor: \S+/, `lossFactor: ${2 + i / 100}`))
    writeFileSync(join(dir, 'metrics.jsonl'), log)
  }
}

/** Starts the studio; returns its address once it says it. */
const start = () => {
  const child = spawn(process.execPath, [cli, 'studio', '--runs', folder, '--port', '0', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const said = new Promise((done, fail) => {
    createInterface(child.stdout).once('line', (text) => done(JSON.parse(text).url))
    child.once('close', (code) => fail(new Error(`ul studio ended with ${code}`)))
  })
  return { child, said }
}

/** Milliseconds of some work, and what it gives. */
const timed = async (work) => {
  const began = performance.now()
  const value = await work()
  return [Math.round(performance.now() - began), value]
}

const memoryOf = (pid, name) => {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Math.round(Number(found[1]) / 1024)
}

const measure = async () => {
  const began = performance.now()
  const { child, said } = start()
  try {
    const url = await said
    const ask = async (path) => (await fetch(new URL(path, url))).json()
    const [firstList, list] = await timed(() => ask('/api/runs'))
    const coldStart = Math.round(performance.now() - began)
    const lists = []
    for (let i = 0; i < 10; i++) {
      await new Promise((done) => setTimeout(done, 300))
      lists.push((await timed(() => ask('/api/runs')))[0])
    }
    const chart = (first, metric) => () =>
      Promise.all(
        list.runs
          .slice(first, first + 10)
          .map(({ run }) => ask(`/api/series?run=${run}&stage=stage1&metric=${metric}&points=1000`)),
      )
    const [firstChart, series] = await timed(chart(0, 'bitsPerPixel'))
    const [secondMetric] = await timed(chart(0, 'loss'))
    // All other runs, ten at a time: what is held in memory has to make room.
    const charts = []
    for (let first = 10; first + 10 <= list.runs.length; first += 10)
      charts.push((await timed(chart(first, 'bitsPerPixel')))[0])
    return {
      runs: list.runs.length,
      linesPerRun: Number(lines),
      coldStartToFirstListMs: coldStart,
      firstListMs: firstList,
      slowestLaterListMs: Math.max(...lists),
      chartOfTenMs: firstChart,
      chartOfTenAnotherMetricMs: secondMetric,
      slowestChartOfTenOthersMs: charts.length === 0 ? null : Math.max(...charts),
      linesCharted: series.reduce((sum, { count }) => sum + count, 0),
      memoryMiB: memoryOf(child.pid, 'VmRSS'),
      peakMemoryMiB: memoryOf(child.pid, 'VmHWM'),
    }
  } finally {
    child.removeAllListeners('close')
    child.kill('SIGINT')
  }
}

try {
  if (!existsSync(join(folder, nameOf(0)))) await fill()
  process.stdout.write(`${JSON.stringify(await measure())}\n`)
} finally {
  if (given === undefined) rmSync(folder, { recursive: true, force: true })
}
