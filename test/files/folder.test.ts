/** @file Folders that are there whole or not at all. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { writeFolder } from '../../src/files/folder.ts'
import { temporaryFolder } from '../data/temporary.ts'

const root = await temporaryFolder()
const fillWith = (text: string) => (folder: string) => writeFileSync(join(folder, 'a'), text)
const anything = (): void => undefined
const nothing = (): void => {
  throw new Error('taken')
}
const contents = (path: string): [string[], string] => [
  readdirSync(path),
  readFileSync(join(path, 'a'), 'utf8'),
]

it('makes folders above it, takes an empty one, asks before it replaces', async () => {
  const path = join(root, 'deep', 'er', 'folder')
  await writeFolder(path, fillWith('one'), nothing)
  expect(contents(path)).toEqual([['a'], 'one'])
  await expect(writeFolder(path, fillWith('two'), nothing)).rejects.toThrow('taken')
  expect(contents(path)).toEqual([['a'], 'one'])
  await writeFolder(path, fillWith('two'), anything)
  expect(contents(path)).toEqual([['a'], 'two'])
  mkdirSync(join(root, 'empty'))
  await writeFolder(join(root, 'empty'), fillWith('three'), nothing)
  expect(contents(join(root, 'empty'))).toEqual([['a'], 'three'])
  expect(readdirSync(join(root, 'deep', 'er'))).toEqual(['folder'])
})

it('leaves what was there, and nothing else, when filling fails half way', async () => {
  const path = join(root, 'kept', 'folder')
  await writeFolder(path, fillWith('old'), nothing)
  const failing = async (folder: string): Promise<void> => {
    fillWith('half')(folder)
    await Promise.reject(new Error('disk'))
  }
  await expect(writeFolder(path, failing, anything)).rejects.toThrow('disk')
  expect(contents(path)).toEqual([['a'], 'old'])
  expect(readdirSync(join(root, 'kept'))).toEqual(['folder'])
  await expect(writeFolder(join(root, 'new', 'folder'), failing, nothing)).rejects.toThrow('disk')
  expect(existsSync(join(root, 'new', 'folder'))).toBe(false)
  expect(readdirSync(join(root, 'new'))).toEqual([])
})
