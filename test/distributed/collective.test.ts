/** @file What processes of a job do together, in memory; and what launchers and libraries say of themselves. */
import { describe, expect, it } from 'vitest'
import {
  alone,
  expectSame,
  gathered,
  gatheredLists,
  isSoForAny,
  leaderFirst,
  leaderOnly,
  ownShare,
} from '../../src/distributed/collective.ts'
import { abis } from '../../src/distributed/mpi/abi.ts'
import { launchIn } from '../../src/distributed/mpi/launch.ts'
import { inEach } from './inMemory.ts'

const sizes = [1, 2, 3, 5]

describe.each(sizes)('%d processes', (size) => {
  it('gather what each gives, by rank, and any number of it', async () => {
    const expected = Array.from({ length: size }, (_, rank) => [rank, rank / 3, -1])
    for (const all of await inEach(size, (together) =>
      gathered(together, [together.rank, together.rank / 3, -1]),
    ))
      expect(all.map((list) => [...list])).toEqual(expected)
    const own = ({ rank }: { readonly rank: number }): number[] => Array(rank % 3).fill(rank + 0.5)
    for (const all of await inEach(size, (together) => gatheredLists(together, own(together))))
      expect(all.map((list) => [...list])).toEqual(expected.map((_, rank) => own({ rank })))
  })

  it('know what is so for any of them', async () => {
    expect(await inEach(size, (together) => isSoForAny(together, false))).toEqual(Array(size).fill(false))
    const last = await inEach(size, (together) => isSoForAny(together, together.rank === size - 1))
    expect(last).toEqual(Array(size).fill(true))
  })

  it('let the leader go first, or alone', async () => {
    const done: number[] = []
    const work = (rank: number) => async (): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, rank === 0 ? 5 : 0))
      done.push(rank)
      return rank
    }
    const ranks = Array.from({ length: size }, (_, rank) => rank)
    expect(await inEach(size, (together) => leaderFirst(together, work(together.rank)))).toEqual(ranks)
    expect(done[0]).toBe(0)
    expect([...done].sort()).toEqual(ranks)
    done.length = 0
    const given = await inEach(size, (together) => leaderOnly(together, work(together.rank)))
    expect(given).toEqual([0, ...Array(size - 1).fill(undefined)])
    expect(done).toEqual([0])
  })

  it('share work without rest, each in order', async () => {
    for (const count of [0, 1, size, 17]) {
      const shares = await inEach(size, async (together) => ownShare(together, count))
      expect(shares.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i))
      expect(Math.max(...shares.map((share) => share.length))).toBe(Math.ceil(count / size))
      for (const share of shares) expect(share).toEqual([...share].sort((a, b) => a - b))
    }
  })
})

describe('what all processes must have the same', () => {
  const hash = (digit: string): string => `${'0'.repeat(31)}${digit}${'f'.repeat(32)}`

  it('passes when they do', async () => {
    await inEach(3, (together) => expectSame(together, 'the data', hash('1')))
    await expectSame(alone, 'the data', hash('1'))
  })

  it('is told by the first that has another, in every process', async () => {
    const work = inEach(4, (together) =>
      expectSame(together, 'the data', hash(together.rank >= 2 ? '2' : '1')).catch(
        ({ message }: Error) => message,
      ),
    )
    expect(await work).toEqual(
      Array(4).fill(
        'the data: process 2 of 4 has another than process 0; give all of them the same files and version',
      ),
    )
  })
})

describe('what a launcher says', () => {
  it.each([
    [
      'mpirun of Open MPI',
      {
        OMPI_COMM_WORLD_SIZE: '4',
        OMPI_COMM_WORLD_RANK: '3',
        OMPI_COMM_WORLD_LOCAL_SIZE: '2',
        OMPI_COMM_WORLD_LOCAL_RANK: '1',
      },
      { launcher: 'Open MPI', size: 4, rank: 3, localSize: 2, localRank: 1 },
    ],
    [
      'mpiexec of MPICH',
      { PMI_SIZE: '2', PMI_RANK: '0', MPI_LOCALNRANKS: '2', MPI_LOCALRANKID: '0' },
      { launcher: 'MPICH', size: 2, rank: 0, localSize: 2, localRank: 0 },
    ],
    [
      'srun with pmi2',
      { SLURM_STEP_NUM_TASKS: '8', SLURM_PROCID: '5', SLURM_LOCALID: '1', PMI_SIZE: '8', PMI_RANK: '5' },
      { launcher: 'Slurm', size: 8, rank: 5, localSize: 1, localRank: 1 },
    ],
  ])('%s', (_, environment, expected) => {
    expect(launchIn(environment)).toEqual(expected)
  })

  it.each([
    ['nothing', {}],
    ['one process', { OMPI_COMM_WORLD_SIZE: '1', OMPI_COMM_WORLD_RANK: '0' }],
    ['a batch script of Slurm outside of a step', { SLURM_NTASKS: '8', SLURM_PROCID: '0' }],
    ['an interactive step', { SLURM_STEP_NUM_TASKS: '1', SLURM_PROCID: '0' }],
    ['no number', { PMI_SIZE: 'two', PMI_RANK: '0' }],
  ])('%s is no job of several', (_, environment) => {
    expect(launchIn(environment)).toBeNull()
  })
})

describe('the interface of a library', () => {
  it.each([
    ['libmpi.so.40', 'Open MPI v4.1.4, package: Debian OpenMPI', 'Open MPI'],
    ['libmpich.so.12', 'MPICH Version: 4.0.2', 'MPICH'],
    ['libmpi.so.12', 'Intel(R) MPI Library 2021.10 for Linux* OS', 'MPICH'],
    ['libmpi_abi.so.0', 'MPICH Version: 5.0.0', 'MPI-5 standard ABI'],
    ['libmpi_abi.so.0', 'Open MPI v6.0.0', 'MPI-5 standard ABI'],
    ['libmpi.so.1', 'HPE MPT 2.30', undefined],
  ])('%s, "%s": %s', (name, version, expected) => {
    expect(abis.find(({ isOf }) => isOf(version, name))?.name).toBe(expected)
  })
})
