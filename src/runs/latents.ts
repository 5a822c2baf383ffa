/**
 * @file Latents of a data set on disk, encoded once: safetensors shards `<dir>/latents-00000.safetensors` with `z` and,
 * where the data is mirrored, `mirrored`, both [n, …]: [n, c, h, w] of images, of clips [n, 2, c, T, h, w]. Rows are read where they lie, so that memory does not grow
 * with the data.
 */
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { alone, type Collective, ownShare } from '../distributed/collective.ts'
import { float32, type HostTensor, type Shape, sameShape, showShape, sizeOf } from '../engine/host/tensor.ts'
import { removeAbandoned } from '../files/atomic.ts'
import { readPieces } from '../files/pieces.ts'
import { inspectSafetensors, writeSafetensors } from '../files/safetensors.ts'

/** Which latents, and how to make them. */
export interface LatentsRequest {
  readonly dir: string
  /** Hash of everything that the latents depend on: encoder weights, data, draws. Shards with another are replaced. */
  readonly key: string
  /** Images of the data set, in the order of their indices. */
  readonly count: number
  /** Of one row: [c, h, w] of an image, [2, c, T, h, w] of a clip. */
  readonly shape: Shape
  /** Whether mirror images are kept, too. */
  readonly mirrored: boolean
  /** The processes that share the work; one when absent. */
  readonly together?: Collective
  /** Encodes images `first` to `first + n − 1`, mirrored or not: [n, …shape]. */
  encode(first: number, n: number, mirrored: boolean): Promise<HostTensor>
  /** Called with the images that are on disk so far. */
  onProgress?(done: number): void
}

/** Latents that are all on disk. */
export interface Latents {
  /** The rows of examples, mirrored or not: [n, …shape]. */
  read(examples: readonly { readonly index: number; readonly mirrored: boolean }[]): HostTensor
  close(): void
}

/** Most bytes and images of a shard: it is made in memory, and lost when a process dies while encoding it. */
const shardBytes = 2 ** 26
const mostPerShard = 4096

const shardLength = ({ shape, mirrored }: LatentsRequest): number =>
  Math.max(1, Math.min(mostPerShard, Math.floor(shardBytes / (4 * sizeOf(shape) * (mirrored ? 2 : 1)))))

interface Shard {
  readonly path: string
  readonly first: number
  readonly length: number
}

const shardsOf = (request: LatentsRequest): Shard[] => {
  const { dir, count } = request
  const most = shardLength(request)
  return Array.from({ length: Math.ceil(count / most) }, (_, i) => ({
    path: join(dir, `latents-${String(i).padStart(5, '0')}.safetensors`),
    first: i * most,
    length: Math.min(most, count - i * most),
  }))
}

/** Whether a shard is there, whole and of this request; anything else is made again. */
const isValid = ({ path, length }: Shard, { key, shape, mirrored }: LatentsRequest): boolean => {
  if (!existsSync(path)) return false
  try {
    const { metadata, entries } = inspectSafetensors(path)
    const wanted = String([length, ...shape])
    const fits = (name: string): boolean => {
      const entry = entries.get(name)
      return entry?.dtype === 'float32' && String(entry.shape) === wanted
    }
    return metadata.key === key && fits('z') && (!mirrored || fits('mirrored'))
  } catch {
    return false
  }
}

const writeShard = async ({ path, first, length }: Shard, request: LatentsRequest): Promise<void> => {
  const { key, shape, mirrored, encode } = request
  const tensor = async (flip: boolean): Promise<HostTensor> => {
    const made = await encode(first, length, flip)
    if (!sameShape(made.shape, [length, ...shape])) {
      throw new Error(
        `${path}: the encoder gave ${showShape(made.shape)}, expected ${showShape([length, ...shape])}; remove the file's folder and train again`,
      )
    }
    return made
  }
  const plain = { z: await tensor(false) }
  writeSafetensors(path, mirrored ? { ...plain, mirrored: await tensor(true) } : plain, { key })
}

/**
 * Opens the latents, encoding what is missing or stale. A shard appears under its name only when it is whole, so an
 * interrupted call goes on where it was.
 * @throws when a shard cannot be written or read.
 */
export const openLatents = async (request: LatentsRequest): Promise<Latents> => {
  const { dir, shape, together = alone } = request
  mkdirSync(dir, { recursive: true })
  removeAbandoned(dir) // several runs may write here, so that no lock says whose a temporary file is
  const shards = shardsOf(request)
  for (const i of ownShare(together, shards.length)) {
    const shard = shards[i]
    if (!isValid(shard, request)) await writeShard(shard, request)
    request.onProgress?.(shard.first + shard.length)
  }
  await together.meet()
  const missing = shards.find((shard) => !isValid(shard, request))
  if (missing !== undefined) {
    throw new Error(
      `${missing.path}: another process encoded it, but it is not here; give all processes one file system`,
    )
  }
  const [each, most] = [sizeOf(shape), shardLength(request)]
  const open = shards.map(({ path }) => {
    const { entries, dataStart } = inspectSafetensors(path)
    return { path, fd: openSync(path, 'r'), entries, dataStart }
  })
  return {
    read: (examples) => {
      const rows = new Float32Array(examples.length * each)
      for (const [i, { index, mirrored }] of examples.entries()) {
        if (!(index >= 0 && index < request.count)) {
          throw new Error(`latents: there is no image ${index}; ask for 0 to ${request.count - 1}`)
        }
        const { path, fd, entries, dataStart } = open[Math.floor(index / most)]
        const { begin } = entries.get(mirrored ? 'mirrored' : 'z')!
        const row = new Uint8Array(rows.buffer, i * each * 4, each * 4)
        const position = dataStart + begin + (index % most) * each * 4
        if (readPieces(fd, row, position) < row.length) {
          throw new Error(`${path}: ends before byte ${position + row.length}; remove it to encode it again`)
        }
      }
      return float32([examples.length, ...shape], rows)
    },
    close: () => {
      for (const { fd } of open) closeSync(fd)
    },
  }
}
