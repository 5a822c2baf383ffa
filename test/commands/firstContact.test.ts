/** @file Data given where a configuration belongs: what it is, and the command that takes it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inWork, sentenceOf, ul } from './ul.ts'

/** Empty files: names alone decide. */
const make = (files: readonly string[]): void => {
  for (const file of files) {
    mkdirSync(dirname(inWork(file)), { recursive: true })
    writeFileSync(inWork(file), '')
  }
}

describe.each([
  ['photos', ['photos/a.png', 'photos/b.JPG', 'photos/notes.txt'], 'folder', 'a folder of images'],
  ['two words', ['two words/sub/a.png'], 'folder', 'a folder of images'],
  ['shards', ['shards/0.tar', 'shards/1.tar'], 'webdataset', 'a folder of .tar files'],
  ['one.tar', ['one.tar'], 'webdataset', 'one of the .tar files that hold data'],
  ['x.parquet', ['x.parquet'], 'parquet', 'one of the .parquet files that hold data'],
  ['x.npz', ['x.npz'], 'npy', 'one of the NumPy arrays that hold data'],
  ['mnist', ['mnist/train-images-idx3-ubyte.gz'], 'idx', 'a folder of IDX files'],
  ['hf', ['hf/metadata.jsonl', 'hf/a.png'], 'manifest', 'a folder of lists of images (.jsonl)'],
  ['c10', ['c10/data_batch_1.bin', 'c10/batches.meta.txt'], 'cifar', 'a folder of CIFAR files'],
] as const)('%s', (given, files, source, words) => {
  const path = given.includes(' ') ? `"${given}"` : given
  const training = `ul train quickstart --set data.source=${source} --set data.path=${path} --set data.balance=false`

  it('is told to ul data, ul train and ul info', async () => {
    make(files)
    const said = `${given}: this is ${words}, no configuration; use `
    expect(await sentenceOf(2, ['data', given])).toBe(`${said}'ul data ${source} --path ${path}'`)
    for (const command of ['train', 'info', 'sweep'])
      expect(await sentenceOf(2, [command, given])).toBe(`${said}'${training}'`)
  })
})

describe('what no command takes', () => {
  it('an image, and what must be unpacked', async () => {
    make(['lone/cat.png', 'all.zip', 'set.tar.gz'])
    expect(await sentenceOf(2, ['data', 'lone/cat.png'])).toMatch(
      /an image.*; give the folder that it lies in$/,
    )
    for (const packed of ['all.zip', 'set.tar.gz'])
      expect(await sentenceOf(2, ['train', packed])).toMatch(/; unpack it first$/)
  })

  it('a folder of nothing, and a file of anything, as before', async () => {
    make(['nothing/readme.md'])
    writeFileSync(inWork('own.yaml'), 'name: own\n')
    expect(await sentenceOf(2, ['data', 'nothing'])).toMatch(/this directory holds no run/)
    expect((await ul(['info', 'own.yaml'])).code).toBe(0)
  })
})
