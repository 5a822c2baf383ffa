/** @file Latents on disk: rows are what was encoded, and a shard that is not whole and of the request is made again. */
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { float32, floats } from '../../src/engine/host/tensor.ts'
import { temporarySibling } from '../../src/files/atomic.ts'
import { readSafetensors, writeSafetensors } from '../../src/files/safetensors.ts'
import { type Latents, type LatentsRequest, openLatents } from '../../src/runs/latents.ts'

const root = mkdtempSync(join(tmpdir(), 'latents-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let made = 0

/** Three shards, of 4096, 4096 and 1000 images. */
const count = 9192
const shape = [1, 1, 2]

/** Two numbers that name the image, and half more where it is mirrored. */
const latentOf = (index: number, mirrored: boolean): number[] => [
  index + (mirrored ? 0.5 : 0),
  -index - (mirrored ? 0.5 : 0),
]

interface Trial {
  readonly request: LatentsRequest
  /** First image, number and mirroring of every call of `encode`. */
  readonly calls: [number, number, boolean][]
}

const trial = (dir: string, changes: Partial<LatentsRequest> = {}): Trial => {
  const calls: [number, number, boolean][] = []
  const encode: LatentsRequest['encode'] = async (first, n, mirrored) => {
    calls.push([first, n, mirrored])
    return float32([n, ...shape], Array.from({ length: n }, (_, i) => latentOf(first + i, mirrored)).flat())
  }
  return { request: { dir, key: 'a', count, shape, mirrored: true, encode, ...changes }, calls }
}

const newFolder = (): string => join(root, String(made++), 'deep')
const shardPath = (dir: string, i: number): string => join(dir, `latents-0000${i}.safetensors`)

/** Opens, closes and returns what was encoded for it. */
const open = async (dir: string, changes: Partial<LatentsRequest> = {}): Promise<Trial['calls']> => {
  const { request, calls } = trial(dir, changes)
  const latents = await openLatents(request)
  checkRows(latents, request.mirrored)
  latents.close()
  return calls
}

/** Images on both sides of the shards' borders and in between, in no order, some twice. */
const indices = [9191, 0, 4095, 4096, 4096, 8191, 8192, 17, 5000, 0, 9190]

const checkRows = (latents: Latents, mirrored: boolean): void => {
  const examples = indices.map((index, i) => ({ index, mirrored: mirrored && i % 3 !== 0 }))
  const wanted = examples.flatMap((example) => latentOf(example.index, example.mirrored))
  expect(latents.read(examples)).toEqual(float32([examples.length, ...shape], wanted))
  expect(latents.read([])).toEqual(float32([0, ...shape], []))
}

const shards = [
  [0, 4096],
  [4096, 4096],
  [8192, 1000],
] as const
const callsOf = (which: readonly number[], mirrored = true): Trial['calls'] =>
  which.flatMap((i) => {
    const [first, n] = shards[i]
    return (mirrored ? [false, true] : [false]).map((m): [number, number, boolean] => [first, n, m])
  })

/** A folder in which everything is encoded. */
const full = async (changes: Partial<LatentsRequest> = {}): Promise<string> => {
  const dir = newFolder()
  await open(dir, changes)
  return dir
}

describe('openLatents', () => {
  it('gives the rows that were encoded, plain and mirrored, across shards', async () => {
    const dir = newFolder()
    const progress: number[] = []
    const { request, calls } = trial(dir, { onProgress: (done) => progress.push(done) })
    const latents = await openLatents(request)
    checkRows(latents, true)
    latents.close()
    expect(calls).toEqual(callsOf([0, 1, 2]))
    expect(progress).toEqual([4096, 8192, 9192])
    const { tensors, metadata } = readSafetensors(shardPath(dir, 2))
    expect(metadata).toEqual({ key: 'a' })
    expect(tensors.z.shape).toEqual([1000, 1, 1, 2])
    expect([...floats(tensors.mirrored).slice(0, 2)]).toEqual(latentOf(8192, true))
    expect(readdirSync(dir).sort()).toEqual([0, 1, 2].map((i) => `latents-0000${i}.safetensors`))
  })

  it('keeps no mirror images where none are asked for', async () => {
    const dir = newFolder()
    expect(await open(dir, { mirrored: false })).toEqual(callsOf([0, 1, 2], false))
    expect(Object.keys(readSafetensors(shardPath(dir, 0)).tensors)).toEqual(['z'])
  })

  it('splits by bytes where latents are large', async () => {
    // 2²⁶ bytes hold four plain images of 2²² numbers, two with their mirror images.
    const { request, calls } = trial(newFolder(), {
      count: 3,
      shape: [2 ** 22],
      encode: async (first, n, mirrored) => {
        calls.push([first, n, mirrored])
        return float32([n, 2 ** 22], new Float32Array(n * 2 ** 22).fill(first))
      },
    })
    const latents = await openLatents(request)
    expect(floats(latents.read([{ index: 2, mirrored: true }])).every((v) => v === 2)).toBe(true)
    latents.close()
    expect(calls).toEqual([[0, 2, false], [0, 2, true], [2, 1, false], [2, 1, true]]) // biome-ignore format: one line
  })

  it('encodes nothing the second time, mirror images wanted or not', async () => {
    const dir = await full()
    expect(await open(dir)).toEqual([])
    expect(await open(dir, { mirrored: false })).toEqual([])
  })

  it('encodes all again for another key', async () => {
    const dir = await full()
    expect(await open(dir, { key: 'b' })).toEqual(callsOf([0, 1, 2]))
    expect(readSafetensors(shardPath(dir, 1)).metadata).toEqual({ key: 'b' })
    expect(await open(dir)).toEqual(callsOf([0, 1, 2]))
  })

  it.each<[string, (path: string) => void]>([
    ['is missing', (path) => rmSync(path)],
    ['is truncated', (path) => truncateSync(path, readFileSync(path).length - 1)],
    ['is empty', (path) => writeFileSync(path, '')],
    ['is something else', (path) => writeFileSync(path, 'x'.repeat(1000))],
    [
      'has another shape',
      (path) => {
        const tensor = float32([4096, 2, 1, 1], new Float32Array(8192))
        writeSafetensors(path, { z: tensor, mirrored: tensor }, { key: 'a' })
      },
    ],
    [
      'holds fewer images',
      (path) => {
        const tensor = float32([4095, ...shape], new Float32Array(8190))
        writeSafetensors(path, { z: tensor, mirrored: tensor }, { key: 'a' })
      },
    ],
    [
      'has no mirror images',
      (path) => writeSafetensors(path, { z: readSafetensors(path).tensors.z }, { key: 'a' }),
    ],
    ['has no key', (path) => writeSafetensors(path, readSafetensors(path).tensors)],
  ])('encodes a shard again that %s, and only it', async (_, damage) => {
    const dir = await full()
    damage(shardPath(dir, 1))
    expect(await open(dir)).toEqual(callsOf([1]))
    expect(await open(dir)).toEqual([])
  })

  it('does not mistake what a killed process left behind for a shard', async () => {
    const dir = await full()
    const left = temporarySibling(shardPath(dir, 1))
    copyFileSync(shardPath(dir, 1), left)
    truncateSync(left, 1000)
    expect(await open(dir)).toEqual([])
    rmSync(shardPath(dir, 1))
    expect(await open(dir)).toEqual(callsOf([1]))
  })

  it.each([false, true])('goes on behind the last whole shard after a failure (mirrored: %s)', async (at) => {
    const dir = newFolder()
    const { request, calls } = trial(dir)
    const failing: LatentsRequest = {
      ...request,
      encode: (first, n, mirrored) => {
        if (first === 4096 && mirrored === at) throw new Error('out of memory')
        return request.encode(first, n, mirrored)
      },
    }
    await expect(openLatents(failing)).rejects.toThrow('out of memory')
    expect(calls.slice(0, 2)).toEqual(callsOf([0]))
    expect(readdirSync(dir)).toEqual(['latents-00000.safetensors'])
    expect(await open(dir)).toEqual(callsOf([1, 2]))
  })

  it('removes what killed processes of this machine left, and nothing of those that may still be writing', async () => {
    const dir = newFolder()
    await open(dir)
    const own = basename(temporarySibling(shardPath(dir, 0)))
    const { pid } = spawnSync(process.execPath, ['-e', '0'])
    const [dead, elsewhere] = [
      own.replace(`-${process.pid}-`, `-${pid}-`),
      own.replace(/-[0-9a-f]{8}-\d+-/, `-00000000-${pid}-`),
    ]
    for (const name of [own, dead, elsewhere]) writeFileSync(join(dir, name), 'half')
    await open(dir)
    const left = readdirSync(dir).filter((name) => name.startsWith('.tmp-'))
    expect(left.sort()).toEqual([own, elsewhere].sort())
  })

  it('refuses latents that are too few, and leaves no shard of them', async () => {
    const dir = newFolder()
    const { request } = trial(dir, { encode: async () => float32([3, ...shape], new Float32Array(6)) })
    await expect(openLatents(request)).rejects.toThrow(/\[3,1,1,2\], expected \[4096,1,1,2\]/)
    expect(readdirSync(dir)).toEqual([])
  })

  it('knows no image past the last', async () => {
    const dir = newFolder()
    const { request } = trial(dir)
    const latents = await openLatents(request)
    for (const index of [request.count, -1]) {
      expect(() => latents.read([{ index, mirrored: false }])).toThrow(
        `there is no image ${index}; ask for 0 to`,
      )
    }
    latents.close()
  })

  it('says which file ends too early when it shrinks while it is read', async () => {
    const dir = newFolder()
    const latents = await openLatents(trial(dir).request)
    truncateSync(shardPath(dir, 1), 1000)
    expect(() => latents.read([{ index: 8191, mirrored: false }])).toThrow(
      /latents-00001\.safetensors: ends before byte \d+/,
    )
    expect([...floats(latents.read([{ index: 0, mirrored: true }]))]).toEqual(latentOf(0, true))
    latents.close()
  })
})
