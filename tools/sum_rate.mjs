/**
 * @file How fast the processes of a job add numbers in place: seconds and bytes a second for several sizes, medians.
 *
 *   mpirun -n 2 --bind-to none node tools/sum_rate.mjs        --mca btl self,tcp: through sockets instead of shared memory
 */
import { performance } from 'node:perf_hooks'
import { joinMpiJob } from '../dist/node.mjs'

const job = joinMpiJob()
if (job === null) throw new Error('sum_rate: start it by mpirun or mpiexec, with two processes at least')
for (const mib of [4 / 2 ** 20, 1, 25, 256]) {
  const numbers = new Float32Array(Math.max(1, (mib * 2 ** 20) / 4)).fill(1)
  const seconds = []
  for (let i = 0; i < 9; i++) {
    await job.meet()
    const start = performance.now()
    await job.sum(numbers)
    seconds.push((performance.now() - start) / 1000)
  }
  const median = seconds.sort((a, b) => a - b)[4]
  if (numbers[0] !== job.size ** 9)
    throw new Error(`sum_rate: added ${numbers[0]}, expected ${job.size ** 9}`)
  if (job.rank === 0) {
    process.stdout.write(
      `${job.size} processes, ${numbers.byteLength} bytes: ${(median * 1e3).toFixed(3)} ms, ${(numbers.byteLength / median / 1e9).toFixed(2)} GB/s\n`,
    )
  }
}
job.end()
