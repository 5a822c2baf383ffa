/** @file Files and folders that options name for output: checked before anything is computed, made when written. */
import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { ConfigError } from '../config/load.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { clipWebp } from '../report/clip.ts'
import { shortened } from '../report/escape.ts'
import { gridPng } from '../report/grid.ts'

const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory()

const isWritable = (path: string): boolean => {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** @throws ConfigError when an option's folder, by default what it names, neither exists nor can be made. */
export const expectFolder = (option: string, path: string, folder: string = path): void => {
  let at = resolve(folder)
  while (!existsSync(at)) at = dirname(at)
  if (!isFolder(at)) throw new ConfigError(`${option} ${path}: ${at} is a file; give a folder`)
  if (!isWritable(at))
    throw new ConfigError(`${option} ${path}: ${at} cannot be written to; give another folder`)
}

/** @throws ConfigError when an option's file cannot be written; nothing to say when the option is absent. */
export const expectFile = (option: string, path: string | undefined): void => {
  if (path === undefined) return
  if (/[/\\]$/.test(path) || isFolder(path)) {
    throw new ConfigError(`${option} ${path}: this names a folder; give the name of a file`)
  }
  expectFolder(option, path, dirname(path))
}

/** Makes the folder that a file is to lie in. */
export const makeFolderOf = (path: string): void => {
  mkdirSync(dirname(path), { recursive: true })
}

/** Writes a file, and the folder that it lies in where there is none. */
export const writeOutput = (path: string | undefined, content: Uint8Array | string): void => {
  if (path === undefined) return
  makeFolderOf(path)
  writeFileAtomic(path, content)
}

/** Writes one image [1, 3, H, W] as PNG, one clip [1, 3, T, H, W] as WebP that plays. @param path without an ending */
export const writeExample = async (path: string, example: HostTensor): Promise<void> =>
  example.shape.length === 5
    ? writeOutput(`${path}.webp`, await clipWebp(example, { scale: 1 }))
    : writeOutput(`${path}.png`, await gridPng(example, 1))

/** Where a run goes that is not told where. @throws ConfigError when its name is not that of one folder */
export const runFolder = (name: string): string => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no folder should be called so
  if (/^\.{0,2}$|[/\\\u0000-\u001f\u007f-\u009f]/.test(name) || Buffer.byteLength(name) > 200)
    throw new ConfigError(
      `name is ${JSON.stringify(shortened(name, 80))}, which cannot name a folder of runs/; set name to one part of a path, or give --out`,
    )
  return join('runs', name)
}
