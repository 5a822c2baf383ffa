/** @file What a person drops or pastes: an image, or a model as a zip archive, a folder or its files. */
import type { ModelSource } from '../engine/protocol.ts'

/** What it was. */
export type Given =
  | { readonly kind: 'image'; readonly name: string; readonly file: File }
  | { readonly kind: 'model'; readonly source: ModelSource }

const modelFile = /^(config\.yaml|run\.json|weights\.safetensors)$/
/** Files of a dropped folder that are looked at. */
const mostFiles = 5000

const isZip = ({ name, type }: File): boolean => type === 'application/zip' || /\.zip$/i.test(name)

/** The files of a model among others, with the depth of each below what was given: those nearest to it count. */
const modelAmong = (
  name: string,
  found: readonly { readonly file: File; readonly depth: number }[],
): Given => {
  const nearest = [...found].filter(({ file }) => modelFile.test(file.name)).sort((a, b) => b.depth - a.depth)
  const files = Object.fromEntries(nearest.map(({ file }) => [file.name, file]))
  return { kind: 'model', source: { kind: 'files', name, files } }
}

/** What some files are. @throws when there are none, or they are neither */
export const givenFiles = (files: readonly File[]): Given => {
  const [first] = files
  if (first === undefined)
    throw new Error('nothing was given; give an image, or the folder or zip of a model')
  const path = first.webkitRelativePath
  if (path !== '') {
    const depth = (file: File): number => file.webkitRelativePath.split('/').length
    return modelAmong(
      path.slice(0, path.indexOf('/')),
      files.map((file) => ({ file, depth: depth(file) })),
    )
  }
  if (isZip(first)) return { kind: 'model', source: { kind: 'zip', name: first.name, zip: first } }
  if (files.some(({ name }) => modelFile.test(name)))
    return modelAmong(
      'the files',
      files.map((file) => ({ file, depth: 0 })),
    )
  if (files.length > 1) throw new Error(`${files.length} files were given; give one image at a time`)
  return { kind: 'image', name: first.name, file: first }
}

const fileOf = (entry: FileSystemFileEntry): Promise<File> =>
  new Promise((resolve, reject) => entry.file(resolve, reject))

const entriesOf = (reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> =>
  new Promise((resolve, reject) => reader.readEntries(resolve, reject))

/** Files below a folder, breadth first. */
const filesBelow = async (
  folder: FileSystemDirectoryEntry,
): Promise<{ readonly file: File; readonly depth: number }[]> => {
  const found: { file: File; depth: number }[] = []
  const folders = [{ entry: folder, depth: 1 }]
  for (const { entry, depth } of folders) {
    const reader = entry.createReader()
    // A reader gives its entries in portions, and an empty one at the end.
    for (let some = await entriesOf(reader); some.length > 0; some = await entriesOf(reader)) {
      for (const each of some) {
        if (each.isDirectory) folders.push({ entry: each as FileSystemDirectoryEntry, depth: depth + 1 })
        else found.push({ file: await fileOf(each as FileSystemFileEntry), depth })
      }
      if (found.length > mostFiles) return found
    }
  }
  return found
}

/** What was dropped or pasted; folders are looked into. Call before anything is awaited: the data goes with the event. */
export const givenData = async (data: DataTransfer): Promise<Given> => {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.() ?? null)
  const folder = entries.find((entry) => entry?.isDirectory)
  const files = [...data.files]
  if (folder) return modelAmong(folder.name, await filesBelow(folder as FileSystemDirectoryEntry))
  return givenFiles(files)
}
