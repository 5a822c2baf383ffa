/** @file Folders that are there whole or not at all. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { removeAbandoned, syncDirectory, temporarySibling } from './atomic.ts'

/** Puts a folder in the place of what is there. */
const place = (temporary: string, path: string): void => {
  const before = existsSync(path) ? temporarySibling(path) : null
  if (before !== null) renameSync(path, before)
  try {
    renameSync(temporary, path)
  } catch (cause) {
    if (before !== null) renameSync(before, path)
    throw cause
  }
  syncDirectory(dirname(path))
  if (before !== null) rmSync(before, { recursive: true, force: true })
}

/**
 * Fills a folder under a temporary name and then gives it its own; its parent is made where there is none.
 * @param path what lies there is replaced, unless `expectReplaceable` throws: nothing to ask of an empty folder
 * @param fill writes the files below the path that it is given
 * @throws what `fill` and `expectReplaceable` throw; what was at `path` is then as it was, and nothing else is left
 */
export const writeFolder = async <T>(
  path: string,
  fill: (temporary: string) => Promise<T> | T,
  expectReplaceable: (path: string) => Promise<void> | void,
): Promise<T> => {
  const own = resolve(path)
  const isFolder = statSync(own, { throwIfNoEntry: false })?.isDirectory()
  if (isFolder === false || (isFolder === true && readdirSync(own).length > 0)) await expectReplaceable(path)
  mkdirSync(dirname(own), { recursive: true })
  removeAbandoned(dirname(own))
  const temporary = temporarySibling(own)
  mkdirSync(temporary)
  try {
    const filled = await fill(temporary)
    syncDirectory(temporary)
    place(temporary, own)
    return filled
  } catch (cause) {
    rmSync(temporary, { recursive: true, force: true })
    throw cause
  }
}
