/**
 * @file Weak scaling: images a second of processes of one thread that share a batch through MPI, each as large a part as one
 * process's whole batch, against (a) one process alone and (b) as many processes that know nothing of each other, side by
 * side, which tells what the cores themselves lose. In alternation; medians of rounds.
 *
 *   node tools/scaling.mjs [preset] [processes] [rounds] [launcher]      stage 1; a launcher of Open MPI or MPICH
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const [preset = 'quickstart', processes = '2', rounds = '5', launcher = 'mpirun'] = process.argv.slice(2)
const [N, steps, every] = [Number(processes), 30, 5]
const cli = fileURLToPath(new URL('../dist/commands/main.mjs', import.meta.url))
const work = mkdtempSync(join(tmpdir(), 'scaling-'))

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}

/** Images a second of a run, the median of its lines but the first. */
const rateOf = (command, args, batch, name) =>
  new Promise((resolve, reject) => {
    const out = join(work, name)
    const settings = [`train.batch=${batch}`, `train.logEvery=${every}`, `train.sampleEvery=${steps + 1}`]
    const training = [
      'train',
      preset,
      '--stage',
      '1',
      '--steps',
      `${steps}`,
      '--threads',
      '1',
      '--json',
      '--out',
      out,
    ]
    const child = spawn(
      command,
      [...args, process.execPath, cli, ...training, ...settings.flatMap((setting) => ['--set', setting])],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
      },
    )
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (own) => {
      text += own
      // What comes after the stage is not looked at.
      if (text.includes(`"step":${steps},`)) child.kill('SIGTERM')
    })
    child.once('error', reject)
    child.once('close', () => {
      rmSync(out, { recursive: true, force: true })
      const lines = text.split('\n').filter((line) => line.includes('"event":"step"'))
      const rates = lines.slice(1).map((line) => JSON.parse(line).imagesPerSecond)
      if (rates.length === 0) reject(new Error(`${command} ${args.join(' ')}: took no step`))
      else resolve(median(rates))
    })
  })

const B = 16
const one = () => rateOf('nice', ['-n', '0'], B, 'one')
const sideBySide = async () => {
  const all = await Promise.all(
    Array.from({ length: N }, (_, i) => rateOf('nice', ['-n', '0'], B, `beside-${i}`)),
  )
  return all.reduce((a, b) => a + b)
}
const together = () =>
  rateOf(
    launcher,
    ['-n', processes, ...(launcher.includes('mpich') ? [] : ['--bind-to', 'none', '--oversubscribe'])],
    N * B,
    'together',
  )

const ratios = { alone: [], beside: [] }
for (let round = 0; round < Number(rounds); round++) {
  const [a, b, c] = [await one(), await sideBySide(), await together()]
  ratios.alone.push(c / (N * a))
  ratios.beside.push(c / b)
  process.stdout.write(
    `${preset}, batch ${B} each: one ${a.toFixed(1)} images/s, ${N} side by side ${b.toFixed(1)}, ${N} together ${c.toFixed(1)}\n`,
  )
}
process.stdout.write(
  `together / (${N} · one) ${median(ratios.alone).toFixed(3)}, together / side by side ${median(ratios.beside).toFixed(3)}\n`,
)
rmSync(work, { recursive: true, force: true })
