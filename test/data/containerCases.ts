/** @file One file of every kind of container, written by its own tool, for tests that damage them. */
import path from 'node:path'
import { openData } from '../../src/data/open.ts'
import { goldenData, writeShards } from './golden.ts'
import { temporaryFolder } from './temporary.ts'

/** A container and the files that are left whole beside it. */
export interface Case {
  readonly title: string
  readonly source: string
  readonly file: () => string | Promise<string>
  readonly beside?: readonly string[]
}

const golden = (
  source: string,
  title: string,
  folder: string,
  file: string,
  beside: string[] = [],
): Case => ({
  title,
  source,
  file: () => goldenData(folder, file),
  beside: beside.map((name) => goldenData(folder, name)),
})

const shard = async (name: string): Promise<string> => {
  const folder = path.join(await temporaryFolder(), 'shards')
  await writeShards(folder)
  return path.join(folder, name)
}

/** All of them. */
export const cases: readonly Case[] = [
  { title: 'tar', source: 'webdataset', file: () => shard('train-0.tar') },
  { title: 'tar with pax headers', source: 'webdataset', file: () => shard('train-1.tar') },
  golden('parquet', 'parquet, snappy', 'parquet', 'train-00000-of-00001.parquet'),
  golden('parquet', 'parquet, zstd', 'parquet', 'validation-00000-of-00001.parquet'),
  golden('parquet', 'parquet, gzip and pages of version 2', 'parquet-plain', 'part.parquet'),
  golden('parquet', 'parquet, uncompressed', 'parquet-plain', 'part2.parquet'),
  golden('cifar', 'cifar-10', 'cifar10', 'data_batch_2.bin'),
  golden('cifar', 'cifar-100', 'cifar100', 'test.bin'),
  golden('idx', 'idx', 'idx', 't10k-images-idx3-ubyte', ['t10k-labels-idx1-ubyte']),
  golden('idx', 'idx, gzipped', 'idx', 'train-images-idx3-ubyte.gz', ['train-labels-idx1-ubyte.gz']),
  golden('npy', 'npy', 'npy', 'images.npy', ['labels.npy']),
  golden('npy', 'npy of floats', 'npy-floats', 'x_train.npy', ['y_train.npy']),
  golden('npy', 'npz, stored', 'npz', 'set.npz'),
  golden('npy', 'npz, compressed', 'npz-packed', 'set.npz'),
]

/** Opens a data set and reads every image of it. */
export const readAll = async (source: string, file: string, packBytes: number): Promise<void> => {
  const data = await openData({ source, path: file, size: 8, packBytes, cacheDir: path.dirname(file) })
  for (const half of [data.train, data.validation])
    await half.read(Array.from({ length: half.count }, (_, i) => i))
}
