/** @file What was measured: one line per case for the terminal, JSON, and a bar chart of the ratios. */
import { join } from 'node:path'
import { writeFileAtomic } from '../src/files/atomic.ts'
import { drawChart } from './chart.ts'
import { quiet } from './measure.ts'
import type { CaseResult, PeerResult } from './result.ts'

const columns = [46, 10, 9, 9, 9] as const
const line = (cells: readonly string[], rest: string): string =>
  `${cells.map((cell, i) => (i === 0 ? cell.padEnd(columns[0]) : cell.padStart(columns[i]))).join('')}   ${rest}`

/** Names of the columns. */
export const tableHead: string = line(
  ['one run', 'time', 'GFLOP/s', 'matmul', 'memory'],
  'times as fast as (least–most, its memory)',
)

const showSeconds = (s: number): string =>
  s < 1 ? `${(s * 1000).toPrecision(3)} ms` : `${s.toPrecision(3)} s`
const showBytes = (bytes: number | null): string =>
  bytes === null ? '–' : `${Math.round(bytes / 2 ** 20)} MiB`

const showRate = (gflops: number): string => (gflops < 1 ? gflops.toPrecision(2) : gflops.toFixed(0))

const showPeer = ({ name, ratio, peakBytes }: PeerResult): string => {
  const [median, min, max] = [ratio.median, ratio.min, ratio.max].map((r) => r.toFixed(2))
  const memory = peakBytes === null ? '' : `, ${showBytes(peakBytes)}`
  return `${name} ${median} (${min}–${max}${memory})`
}

/** A case as one line. */
export const row = (result: CaseResult): string => {
  const { title, gflopsPerRun, seconds, shareOfMatmul, peakBytes, disturbance, peers, skipped } = result
  const notes = [
    ...peers.map(showPeer),
    ...Object.entries(skipped).map(([name, why]) => `${name}: ${why}`),
    ...(disturbance > quiet
      ? [`other programs took up to ${Math.round(100 * disturbance)} % meanwhile`]
      : []),
  ]
  return line(
    [
      title,
      showSeconds(seconds.median),
      showRate(gflopsPerRun / seconds.median),
      `${Math.round(100 * shareOfMatmul.median)} %`,
      showBytes(peakBytes),
    ],
    notes.join('; '),
  )
}

/** Writes bench.json and bench.png. */
export const writeReport = async (folder: string, results: readonly CaseResult[]): Promise<void> => {
  writeFileAtomic(join(folder, 'bench.json'), [Buffer.from(`${JSON.stringify(results, null, 2)}\n`)])
  writeFileAtomic(join(folder, 'bench.png'), [await drawChart(results)])
}
