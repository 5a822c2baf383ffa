import { describe, expect, test } from 'vitest'
import {
  type BatchPlan,
  batchPlan,
  epochOrder,
  openBatchReader,
  plannedExamples,
  readExamples,
  readImages,
} from '../../src/data/batches.ts'
import type { ImageSource } from '../../src/data/images/source.ts'
import { wholeBatch } from '../../src/engine/host/part.ts'
import { toNchw } from '../../src/engine/host/pixels.ts'
import { floats, type HostTensor } from '../../src/engine/host/tensor.ts'

/** Image i is a 2×2 of bytes i·12 .. i·12+11. */
const memorySource = (labels: readonly number[], read?: ImageSource['read']): ImageSource => ({
  name: 'memory',
  fingerprint: '',
  count: labels.length,
  size: 2,
  classes: ['a', 'b', 'c'],
  label: (i) => labels[i],
  caption: () => '',
  id: String,
  read: read ?? (async (indices) => Uint8Array.from(indices.flatMap(bytesOf))),
})

const bytesOf = (index: number): number[] => Array.from({ length: 12 }, (_, k) => index * 12 + k)

const labels = [0, 0, 0, 0, 0, 0, 0, 1, 1, 2]
const source = memorySource(labels)

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Images of a whole batch, and which of them are mirrored. */
const indicesOf = (plan: BatchPlan, step: number, batch: number): number[] =>
  plannedExamples(plan, step, wholeBatch(batch)).map(({ index }) => index)
const flipsOf = (plan: BatchPlan, step: number, batch: number): boolean[] =>
  plannedExamples(plan, step, wholeBatch(batch)).map(({ mirrored }) => mirrored)

describe('order', () => {
  test('an epoch is a permutation; seeds and epochs differ', () => {
    const orders = [0, 1, 2].map((epoch) => epochOrder(100, 7, epoch))
    for (const order of orders)
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    expect(orders[0]).not.toEqual(orders[1])
    expect(epochOrder(100, 8, 0)).not.toEqual(orders[0])
    expect(epochOrder(100, 7, 2)).toEqual(orders[2])
  })

  test('shuffles evenly', () => {
    const first = new Float64Array(10)
    for (let epoch = 0; epoch < 5000; epoch++) first[epochOrder(10, 3, epoch)[0]]++
    for (const n of first) expect(Math.abs(n - 500)).toBeLessThan(110) // 5 standard deviations of 21
  })

  test('every image once an epoch, whatever the batch size', () => {
    const plan = batchPlan(source, { seed: 1 })
    const stream = (batch: number): number[] =>
      Array.from({ length: 60 / batch }, (_, step) => indicesOf(plan, step, batch)).flat()
    expect(stream(4)).toEqual(stream(6))
    for (let epoch = 0; epoch < 6; epoch++)
      expect(
        stream(4)
          .slice(epoch * 10, epoch * 10 + 10)
          .sort(),
      ).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  test.each([false, true])('a step depends on seed and step alone (balance %s)', (balance) => {
    const plan = batchPlan(source, { seed: 5, balance, flip: true })
    const forward = Array.from({ length: 40 }, (_, step) => indicesOf(plan, step, 3))
    for (const step of [39, 3, 17, 0, 39]) {
      const fresh = batchPlan(source, { seed: 5, balance, flip: true })
      expect(indicesOf(fresh, step, 3)).toEqual(forward[step])
      expect(indicesOf(plan, step, 3)).toEqual(forward[step])
      expect(flipsOf(fresh, step, 3)).toEqual(flipsOf(plan, step, 3))
    }
    const other = batchPlan(source, { seed: 6, balance })
    expect(Array.from({ length: 40 }, (_, step) => indicesOf(other, step, 3))).not.toEqual(forward)
  })

  test('balanced: classes equally often, images of a class equally often', () => {
    const plan = batchPlan(source, { seed: 2, balance: true })
    const counts = new Float64Array(10)
    const n = 3 * 7 * 2 * 20 // whole rounds and whole epochs of every class
    for (let position = 0; position < n; position++) counts[plan.index(position)]++
    expect([...counts]).toEqual(labels.map((label) => n / 3 / [7, 2, 1][label]))
    const classes = (from: number): number[] => [0, 1, 2].map((i) => labels[plan.index(from + i)])
    const rounds = Array.from({ length: 50 }, (_, round) => classes(round * 3))
    for (const round of rounds) expect([...round].sort()).toEqual([0, 1, 2])
    expect(new Set(rounds.map(String)).size).toBe(6)
  })

  test('half of the examples are mirrored, independently of epochs', () => {
    const plan = batchPlan(source, { seed: 2, flip: true })
    const flips = flipsOf(plan, 0, 10_000)
    expect(Math.abs(flips.filter(Boolean).length - 5000)).toBeLessThan(250)
    expect(flipsOf(batchPlan(source, { seed: 2 }), 0, 100)).not.toContain(true)
    const changes = flips.filter((flip, i) => i > 0 && flip !== flips[i - 1]).length
    expect(Math.abs(changes - 5000)).toBeLessThan(250)
  })

  test.each([false, true])('parts of a batch are what the whole has there (balance %s)', (balance) => {
    const plan = batchPlan(source, { seed: 4, balance, flip: true })
    for (const [step, cuts] of [
      [0, [1, 5]],
      [7, [2, 2, 2]],
      [23, [4, 1, 1]],
    ] as const) {
      let first = 0
      const parts = cuts.flatMap((count) => {
        const part = plannedExamples(plan, step, { first, count, of: 6 })
        first += count
        return part
      })
      expect(parts).toEqual(plannedExamples(plan, step, wholeBatch(6)))
    }
  })

  test('refuses what cannot be drawn', () => {
    expect(() => batchPlan(memorySource([]), { seed: 0 })).toThrow(/no images to draw/)
    expect(() => batchPlan({ ...source, classes: [] }, { seed: 0, balance: true })).toThrow(/cannot balance/)
  })
})

describe('clips that stand still', () => {
  const labels = { name: 'clips', count: 50, classes: [], label: () => -1 }
  const positions = Array.from({ length: 20_000 }, (_, i) => i)

  test('are the share that is asked for, at any frame alike, and none where none is', () => {
    const shown = positions.map(batchPlan(labels, { seed: 1, imageShare: 0.3 }).still)
    const still = shown.filter((at) => at !== null)
    expect(still.length / shown.length).toBeCloseTo(0.3, 1)
    for (let frame = 0; frame < 4; frame++)
      expect(still.filter((at) => Math.floor(4 * at) === frame).length / still.length).toBeCloseTo(0.25, 1)
    expect(Math.max(...still)).toBeLessThan(1)
    expect(positions.map(batchPlan(labels, { seed: 1 }).still).every((at) => at === null)).toBe(true)
    expect(positions.map(batchPlan(labels, { seed: 1, imageShare: 1 }).still)).not.toContain(null)
  })

  test('show one of their frames, mirrored where the example is', async () => {
    const [size, frames] = [2, 4]
    const each = frames * size * size * 3
    const read = async (indices: readonly number[]): Promise<Uint8Array> =>
      Uint8Array.from({ length: indices.length * each }, (_, k) => {
        const [t, x] = [Math.floor((k % each) / (size * size * 3)), Math.floor(k / 3) % size]
        return 40 * indices[Math.floor(k / each)] + 10 * t + x
      })
    const source = { ...memorySource([0, 0, 0], read), size, frames }
    const x = await readExamples(source, [
      { index: 1, mirrored: false, window: 0, still: null },
      { index: 2, mirrored: true, window: 0, still: 0.6 },
    ])
    const value = (n: number, t: number, column: number): number =>
      Math.round((floats(x)[((n * 3 * frames + t) * size + 1) * size + column] + 1) * 127.5)
    for (let t = 0; t < frames; t++) {
      expect([value(0, t, 0), value(0, t, 1)]).toEqual([40 + 10 * t, 41 + 10 * t])
      expect([value(1, t, 0), value(1, t, 1)]).toEqual([101, 100])
    }
  })
})

describe('toNchw', () => {
  const pixels = Uint8Array.from([...bytesOf(0), ...bytesOf(20)])
  const unit = (bytes: readonly number[]): number[] => [...Float32Array.from(bytes, (x) => x / 127.5 - 1)]

  test('planes and range', () => {
    const out = floats(toNchw(pixels, { size: 2 }))
    expect([...out.subarray(0, 12)]).toEqual(unit([0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]))
    expect([...floats(toNchw(Uint8Array.from([0, 255, 51]), { size: 1 }))]).toEqual(unit([0, 255, 51]))
    expect([...floats(toNchw(Uint8Array.from([0, 255, 0]), { size: 1 }))]).toEqual([-1, 1, -1])
  })

  test('mirrors left to right only where asked', () => {
    const out = floats(toNchw(pixels, { size: 2 }, [true, false]))
    expect([...out.subarray(0, 12)]).toEqual(unit([3, 0, 9, 6, 4, 1, 10, 7, 5, 2, 11, 8]))
    expect(out.subarray(12)).toEqual(floats(toNchw(pixels, { size: 2 })).subarray(12))
  })

  test('frames of a clip are its images, one behind the other in every colour', () => {
    const clip = toNchw(pixels, { size: 2, frames: 2 }, [true])
    const images = floats(toNchw(pixels, { size: 2 }, [true, true]))
    expect(clip.shape).toEqual([1, 3, 2, 2, 2])
    for (let c = 0; c < 3; c++)
      for (let t = 0; t < 2; t++)
        expect(floats(clip).subarray(4 * (2 * c + t), 4 * (2 * c + t + 1))).toEqual(
          images.subarray(4 * (3 * t + c), 4 * (3 * t + c + 1)),
        )
  })

  test('readImages', async () => {
    expect(await readImages(source, [3, 1])).toEqual(
      toNchw(Uint8Array.from([...bytesOf(3), ...bytesOf(1)]), { size: 2 }),
    )
  })
})

describe('openBatchReader', () => {
  const plan = batchPlan(source, { seed: 4, flip: true })
  const imagesOf = async (step: number): Promise<HostTensor> =>
    toNchw(await source.read(indicesOf(plan, step, 3)), { size: 2 }, flipsOf(plan, step, 3))

  test('the right batch for each step even when later reads end first', async () => {
    let call = 0
    const slow = memorySource(labels, async (indices) => {
      await wait(30 - 5 * (call++ % 6))
      return source.read(indices)
    })
    const reader = openBatchReader({ source: slow, plan, part: wholeBatch(3) })
    for (const step of [0, 1, 2, 3, 4, 9, 10, 2, 3]) {
      expect(await reader.next(step)).toEqual(await imagesOf(step))
    }
    await reader.close()
  })

  test('reads ahead, and not more than asked', async () => {
    const asked: string[] = []
    const counting = memorySource(labels, async (indices) => {
      asked.push(String(indices))
      return source.read(indices)
    })
    const reader = openBatchReader({ source: counting, plan, part: wholeBatch(2), ahead: 2 })
    const steps = (...list: number[]): string[] => list.map((step) => String(indicesOf(plan, step, 2)))
    await reader.next(0)
    expect(asked).toEqual(steps(0, 1, 2))
    await reader.next(1)
    expect(asked).toEqual(steps(0, 1, 2, 3))
    await reader.close()
  })

  test('a failed read rejects its batch only, and can be repeated', async () => {
    let broken = true
    const bad = String(indicesOf(plan, 2, 3))
    const failing = memorySource(labels, async (indices) => {
      if (broken && String(indices) === bad) throw new Error('disk gone')
      return source.read(indices)
    })
    const reader = openBatchReader({ source: failing, plan, part: wholeBatch(3) })
    await reader.next(0)
    await wait(5) // step 2 has failed ahead of time by now
    await reader.next(1)
    await expect(reader.next(2)).rejects.toThrow('disk gone')
    expect(await reader.next(3)).toEqual(await imagesOf(3))
    broken = false
    expect(await reader.next(2)).toEqual(await imagesOf(2))
    await reader.close()
  })

  test('close waits for reads under way and ends the reader', async () => {
    let open = 0
    const slow = memorySource(labels, async (indices) => {
      open++
      await wait(20)
      open--
      return source.read(indices)
    })
    const reader = openBatchReader({ source: slow, plan, part: wholeBatch(3) })
    const first = reader.next(0)
    await reader.close()
    expect(open).toBe(0)
    expect(await first).toEqual(await imagesOf(0))
    await expect(reader.next(1)).rejects.toThrow(/closed/)
  })
})
