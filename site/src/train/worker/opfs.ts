/** @file The files of a run in the browser's own file system (OPFS, https://fs.spec.whatwg.org), as a worker reaches them. */
import type { RunFiles } from '../../../../src/tab/page.ts'

/** A file open to its worker alone, which reads and writes at once. */
interface Access {
  getSize(): number
  truncate(size: number): void
  write(bytes: Uint8Array, options: { readonly at: number }): number
  flush(): void
  close(): void
}

/** What workers have besides, and what is newer than the types: renaming within the browser's own file system. */
interface OwnFile extends FileSystemFileHandle {
  createSyncAccessHandle(): Promise<Access>
  move(name: string): Promise<void>
}

/** The file of a name in a folder, which is made where it is not there. */
const ownFile = async (folder: FileSystemDirectoryHandle, name: string): Promise<OwnFile> =>
  (await folder.getFileHandle(name, { create: true })) as OwnFile

const temporaryPrefix = '.tmp-'

const isNotThere = (error: unknown): boolean =>
  error instanceof DOMException && error.name === 'NotFoundError'

/** What is given, or null where there is nothing of that name. */
const ifThere = async <T>(found: Promise<T>): Promise<T | null> => {
  try {
    return await found
  } catch (error) {
    if (isNotThere(error)) return null
    throw error
  }
}

/** The folder of a path, which is made where it is wanted, and its last name. */
const placeOf = async (
  root: FileSystemDirectoryHandle,
  path: string,
  create: boolean,
): Promise<{ readonly folder: FileSystemDirectoryHandle; readonly name: string } | null> => {
  const names = path.split('/')
  const name = names.pop() ?? ''
  let folder: FileSystemDirectoryHandle | null = root
  for (const each of names) {
    folder = await ifThere(folder.getDirectoryHandle(each, { create }))
    if (folder === null) return null
  }
  return { folder, name }
}

const megabytes = (bytes = 0): string => `${(bytes / 1e6).toFixed(0)} MB`

/** The error of a full storage in a sentence; any other as it is. */
const explained = async (error: unknown): Promise<unknown> => {
  if (!(error instanceof DOMException) || error.name !== 'QuotaExceededError') return error
  const { usage, quota } = await navigator.storage.estimate()
  return new Error(
    `the browser has no room left for this run (${megabytes(usage)} of ${megabytes(quota)} are used); delete another run, or free space on the disk, and go on`,
    { cause: error },
  )
}

/** Does what may find the storage full. @throws what that throws, in a sentence where it is so */
const whereRoomIs = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    throw await explained(error)
  }
}

/** Puts a file back to its length; a full storage may refuse even that, and then it is said as what was refused first. */
const cut = (access: Access, size: number): void => {
  try {
    access.truncate(size)
  } catch {
    // Half a line at the end of a log is left out when it is read; any other file is still under its temporary name.
  }
}

/** Writes through a handle that nobody else has meanwhile: all, or nothing. @param from where, of the bytes that there are */
const writeAt = async (
  handle: OwnFile,
  chunks: readonly Uint8Array[],
  from: (size: number) => number,
): Promise<void> => {
  const access = await handle.createSyncAccessHandle()
  const begin = from(access.getSize())
  let at = begin
  try {
    access.truncate(begin)
    for (const chunk of chunks) {
      const written = access.write(chunk, { at })
      if (written < chunk.length) throw new DOMException('not all was written', 'QuotaExceededError')
      at += written
    }
    access.flush()
  } catch (error) {
    cut(access, begin)
    throw error
  } finally {
    access.close()
  }
}

/** The files below a folder. */
export const opfsFiles = (root: FileSystemDirectoryHandle): RunFiles => ({
  list: async (path) => {
    const place = path === '' ? { folder: root, name: '' } : await placeOf(root, path, false)
    if (place === null) return []
    const { folder, name } = place
    const listed = name === '' ? folder : await ifThere(folder.getDirectoryHandle(name))
    if (listed === null) return []
    const names: string[] = []
    for await (const each of listed.keys()) if (!each.startsWith(temporaryPrefix)) names.push(each)
    return names.sort()
  },
  read: async (path) => {
    const place = await placeOf(root, path, false)
    const handle = place && (await ifThere(place.folder.getFileHandle(place.name)))
    return handle === null ? null : new Uint8Array(await (await handle.getFile()).arrayBuffer())
  },
  write: (path, chunks) =>
    whereRoomIs(async () => {
      const place = await placeOf(root, path, true)
      if (place === null) throw new Error(`${path}: its folder cannot be made; reload the page`)
      const { folder, name } = place
      const temporary = `${temporaryPrefix}${name}`
      const handle = await ownFile(folder, temporary)
      try {
        await writeAt(handle, chunks, () => 0)
        await handle.move(name)
      } catch (error) {
        await folder.removeEntry(temporary).catch(() => undefined) // what was thrown says more
        throw error
      }
    }),
  append: (path, bytes) =>
    whereRoomIs(async () => {
      const place = await placeOf(root, path, true)
      if (place === null) throw new Error(`${path}: its folder cannot be made; reload the page`)
      await writeAt(await ownFile(place.folder, place.name), [bytes], (size) => size)
    }),
  remove: async (path) => {
    const place = await placeOf(root, path, false)
    if (place !== null) await ifThere(place.folder.removeEntry(place.name, { recursive: true }))
  },
})

/** Bytes of all files below a folder. */
export const bytesBelow = async (folder: FileSystemDirectoryHandle): Promise<number> => {
  let sum = 0
  for await (const handle of folder.values())
    sum +=
      handle instanceof FileSystemFileHandle
        ? (await handle.getFile()).size
        : await bytesBelow(handle as FileSystemDirectoryHandle)
  return sum
}
