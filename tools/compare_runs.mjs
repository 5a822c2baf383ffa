/**
 * @file How far the parameters of two runs are apart, stage by stage, after their last steps, and their losses.
 *
 *   node tools/compare_runs.mjs RUN OTHER
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSafetensors } from '../dist/node.mjs'

const [one, other] = process.argv.slice(2)
const losses = (run) =>
  readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ loss }) => typeof loss === 'number')
const last = (run, stage) => {
  const names = readdirSync(join(run, 'checkpoints')).filter((name) => name.startsWith(`${stage}-`))
  return readSafetensors(join(run, 'checkpoints', names.sort().at(-1), 'state.safetensors')).tensors
}
const stages = [...new Set(losses(one).map(({ stage }) => stage))]
for (const stage of stages) {
  const [a, b] = [last(one, stage), last(other, stage)]
  let [squares, all, most] = [0, 0, 0]
  for (const name of Object.keys(a).filter((name) => name.startsWith('param/'))) {
    for (const [i, v] of a[name].data.entries()) {
      const difference = v - b[name].data[i]
      squares += difference ** 2
      all += v * v
      most = Math.max(most, Math.abs(difference))
    }
  }
  const [x, y] = [one, other].map((run) => losses(run).filter((line) => line.stage === stage))
  const loss = Math.max(...x.map((line, i) => Math.abs(y[i].loss / line.loss - 1)))
  process.stdout.write(
    `${stage}: parameters ${Math.sqrt(squares / all).toExponential(1)} apart (relative), ${most.toExponential(1)} at most; ` +
      `loss ${loss.toExponential(1)} at most in ${x.length} steps\n`,
  )
}
