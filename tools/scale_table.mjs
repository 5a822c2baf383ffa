/**
 * @file What a training step takes on more and more processes, from three figures that were measured: a process's rate, the
 * rate of its network, and what the step itself needs (`ul info`). The sum waits for the gradients, so its time is added; a ring sends
 * each number twice but for a share of 1/N. Markdown.
 *
 *   node tools/scale_table.mjs PRESET STAGE GFLOPS_PER_SECOND GIGABYTES_PER_SECOND
 */

import { presetByName } from '../dist/index.mjs'
import { describeModel } from '../dist/node.mjs'

const [preset, stage, rate, bandwidth] = process.argv.slice(2)
const { stages, networks } = describeModel(presetByName(preset), 1000)
const own = stages.find((one) => one.stage === stage)
const trained = networks.filter(({ network }) => (network === 'base') === (stage === 'stage2'))
const bytes = 4 * trained.reduce((sum, { parameters }) => sum + parameters, 0)
const perImage = own.gflopsPerStep / own.batch
const row = (cells) => `| ${cells.join(' | ')} |\n`
const out = (text) => process.stdout.write(text)
out(
  `${preset} ${stage}: ${perImage.toFixed(0)} GFLOP an image, ${(bytes / 1e9).toFixed(2)} GB of gradients, ${rate} GFLOP/s and ${bandwidth} GB/s a process\n\n`,
)
out(row(['processes', 'images each', 'compute s', 'sum s', 'images/s', 'share of N times one']))
out(row(['---', '---', '---', '---', '---', '---']))
const seconds = (n) => [
  (perImage * Math.max(1, own.batch / n)) / Number(rate),
  ((2 * (n - 1)) / n) * (bytes / 1e9 / Number(bandwidth)),
]
for (let n = 1; n <= 1024; n *= 2) {
  const each = Math.max(1, own.batch / n)
  const [compute, sum] = seconds(n)
  const perSecond = (n * each) / (compute + sum)
  out(
    row([
      n * each > own.batch ? `${n} (batch ${n * each})` : n,
      each,
      compute.toFixed(1),
      sum.toFixed(2),
      perSecond.toFixed(3),
      ((perSecond * perImage) / (n * Number(rate))).toFixed(3),
    ]),
  )
}
