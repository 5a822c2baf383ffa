import { beforeAll, describe, expect, test } from 'vitest'
import { isMovingSource, type MovingSource, openMoving } from '../../src/data/formats/moving.ts'
import {
  bounced,
  type MovingScene,
  movingScene,
  type Place,
  placesAt,
  renderFrame,
  SCALES,
  WALLS,
} from '../../src/data/formats/movingScene.ts'
import type { Sprite } from '../../src/data/formats/sprites.ts'
import type { DataSplit } from '../../src/data/images/source.ts'
import { openData } from '../../src/data/open.ts'
import { summaryLines } from '../../src/data/summary.ts'

const [size, frames] = [32, 16]
const each = size * size * 3

let train: MovingSource
let validation: MovingSource
let data: DataSplit

// sprites are decoded into the shared cache, once for all tests
beforeAll(async () => {
  data = await openData({ source: 'moving', size, frames })
  const { train: first, validation: second } = data
  if (!isMovingSource(first) || !isMovingSource(second)) throw new Error('no scenes')
  train = first
  validation = second
}, 600_000)

/** A square of one colour. */
const flatSprite = (side: number, value: number): Sprite => ({
  id: 'flat',
  caption: '',
  label: 0,
  side,
  colour: new Uint8Array(side * side * 3).fill(value),
  cover: new Uint8Array(side * side * 3).fill(255),
})

/** Sprites on black. */
const sceneOf = (...sprites: readonly Sprite[]): MovingScene => ({
  size,
  background: new Float32Array(each),
  sprites: sprites.map((sprite) => ({ sprite, places: [] })),
})

/** Sum and mean place, in pixels, of the first channel. */
const centroid = (
  image: ArrayLike<number>,
): { readonly sum: number; readonly x: number; readonly y: number } => {
  let [sum, x, y] = [0, 0, 0]
  for (let i = 0; i < size * size; i++) {
    const value = image[i * 3]
    sum += value
    x += value * ((i % size) + 0.5)
    y += value * (Math.floor(i / size) + 0.5)
  }
  return { sum, x: x / sum, y: y / sum }
}

const spritesOf = (source: MovingSource, count: number): Set<string> => {
  const ids = Array.from({ length: count }, (_, i) => source.scene(i).sprites.map(({ sprite }) => sprite.id))
  return new Set(ids.flat())
}

describe('the set', () => {
  test('counts, classes and captions are those of the sprite in front', () => {
    expect([train.count, validation.count]).toEqual([8192, 512])
    expect([train.size, train.frames]).toEqual([size, frames])
    expect(train.classes.length).toBe(9)
    for (const i of [0, 1, 100, 511]) {
      const [front] = validation.scene(i).sprites
      expect([validation.label(i), validation.caption(i)]).toEqual([front.sprite.label, front.sprite.caption])
    }
    expect(summaryLines(data)).toEqual([
      'data: 8192 clips to train on, 512 held out, from 3375 files',
      'data: 9 classes by Unicode group of the emoji in front; held out are clips of emoji that look like none of those trained on',
    ])
  })

  test('classes are nearly equally many', () => {
    const counts = new Array<number>(9).fill(0)
    for (let i = 0; i < train.count; i++) counts[train.label(i)]++
    // 8,192 draws of probability 1/9: 910 ± 28
    expect(Math.min(...counts)).toBeGreaterThan(910 - 4 * 28)
    expect(Math.max(...counts)).toBeLessThan(910 + 4 * 28)
  })

  test('no emoji is on both sides, and which side it is on is as in the set of images', async () => {
    const images = await openData({ source: 'emoji', size: 16 })
    const idsOf = (half: DataSplit['train']): string[] =>
      Array.from({ length: half.count }, (_, i) => half.id(i))
    const [trained, held] = [spritesOf(train, 2000), spritesOf(validation, 512)]
    expect(trained.size).toBeGreaterThan(900)
    expect(held.size).toBeGreaterThan(150)
    const allowed = [new Set(idsOf(images.train)), new Set(idsOf(images.validation))]
    expect([...trained].filter((id) => !allowed[0].has(id))).toEqual([])
    expect([...held].filter((id) => !allowed[1].has(id))).toEqual([])
  })

  test('without skin tones no scene has one', async () => {
    const plain = await openMoving({ size, frames, skinTones: false })
    expect([...spritesOf(plain.train, 500)].filter((id) => /1f3f[b-f]/.test(id))).toEqual([])
    expect(plain.train.fingerprint).not.toBe(train.fingerprint)
  })

  test('a clip is the same whenever it is opened or read, beside whatever, from wherever it begins', async () => {
    const again = await openMoving({ size, frames })
    const clips = await train.read([5, 8191, 0], [0, 0.5, 0.99])
    expect(clips.length).toBe(3 * frames * each)
    expect(await again.train.read([0])).toEqual(clips.subarray(2 * frames * each))
    expect(again.train.fingerprint).toBe(train.fingerprint)
    const short = await openMoving({ size, frames: 4 })
    expect(await short.train.read([5])).toEqual(clips.subarray(0, 4 * each))
    expect(short.train.fingerprint).not.toBe(train.fingerprint)
    expect(await validation.read([5])).not.toEqual(clips.subarray(0, frames * each))
  })

  test('a larger frame shows the same: its places are those times the ratio', () => {
    const byClass = [[flatSprite(8, 255)], [flatSprite(8, 100)]]
    for (const index of [0, 7]) {
      const [small, large] = [32, 64].map((side) =>
        movingScene({ half: 'train', index, size: side, frames, byClass }),
      )
      const scaled = small.sprites.map(({ places }) => places.map((p) => ({ ...p, x: 2 * p.x, y: 2 * p.y })))
      expect(large.sprites.map(({ places }) => places)).toEqual(scaled)
    }
  })
})

describe('ways', () => {
  test('stay within the walls, at constant speed, whose directions are what bounces change', () => {
    let [bounces, longest, shortest] = [0, 0, size * frames]
    for (let i = 0; i < 300; i++) {
      for (const { places } of train.scene(i).sprites) {
        for (const { x, y, scale } of places) {
          expect(Math.min(x, y)).toBeGreaterThanOrEqual(WALLS[0] * size)
          expect(Math.max(x, y)).toBeLessThanOrEqual(WALLS[1] * size)
          expect(scale).toBeGreaterThanOrEqual(SCALES[0])
          expect(scale).toBeLessThanOrEqual(SCALES[1])
        }
        const steps = places.slice(1).map(({ x }, t) => x - places[t].x)
        const speed = Math.max(...steps.map(Math.abs))
        bounces += steps.filter((step) => Math.abs(step) < speed - 1e-9).length
        expect(steps.filter((step) => Math.abs(step) < speed - 1e-9).length).toBeLessThanOrEqual(3)
        const turns = places.slice(1).map(({ angle }, t) => angle - places[t].angle)
        for (const turn of turns) expect(turn).toBeCloseTo(turns[0], 12)
        const length = Math.max(
          ...places.slice(1).map((p, t) => Math.hypot(p.x - places[t].x, p.y - places[t].y)),
        )
        longest = Math.max(longest, length)
        shortest = Math.min(shortest, length)
      }
    }
    expect(bounces).toBeGreaterThan(100)
    // 0.5 to 1.5 of the side in 16 frames
    expect(longest).toBeLessThanOrEqual((1.5 * size) / 16 + 1e-9)
    expect(longest).toBeGreaterThan((1.45 * size) / 16)
    expect(shortest).toBeGreaterThan((0.3 * size) / 16)
  })

  test.each([
    [0.3, 0.1, 0, 0.3],
    [0.3, 0.1, 4, 0.7],
    [0.3, 0.1, 6, 0.7], // 0.9 is 0.1 beyond the wall
    [0.3, -0.1, 2, 0.3], // 0.1 is 0.1 beyond the other
    [0.3, 0.1, 12, 0.3], // a whole period
    [0.3, 1.2, 10, 0.3],
  ])('from %d at %d a frame, after %d frames: %d', (from, speed, time, wanted) => {
    expect(bounced(from, speed, time, [0.2, 0.8])).toBeCloseTo(wanted, 12)
  })
})

describe('frames', () => {
  test('show a sprite at its place: the centroid, and the area', () => {
    const scene = sceneOf(flatSprite(19, 255))
    const places: readonly Place[] = [
      { x: 16, y: 16, angle: 0, scale: 0.5 },
      { x: 12.3, y: 18.9, angle: 0.7, scale: 0.4 },
      { x: 17.5, y: 15.25, angle: -2, scale: 0.6 },
    ]
    for (const place of places) {
      const { sum, x, y } = centroid(renderFrame(scene, [place]))
      expect(x).toBeCloseTo(place.x, 1)
      expect(y).toBeCloseTo(place.y, 1)
      expect(sum / 255 / (place.scale * size) ** 2).toBeCloseTo(1, 1)
    }
  })

  test('show the clips’ own sprites where the scene says: the centroid of what differs from the background', async () => {
    const clips = await train.read([0, 1, 2, 3, 4, 5])
    for (let n = 0; n < 6; n++) {
      const scene = train.scene(n)
      for (const t of [0, 7, 15]) {
        const places = placesAt(scene, t)
        const shown = clips.subarray((n * frames + t) * each, (n * frames + t + 1) * each)
        expect(renderFrame(scene, places)).toEqual(shown)
        // coverage alone: white on black, one sprite, as it lies in its square
        const { sprite } = scene.sprites[0]
        const { side, cover } = sprite
        const white = { ...sceneOf({ ...sprite, colour: cover }) }
        const middle = { x: size / 2, y: size / 2, angle: 0, scale: side / size }
        const own = centroid(renderFrame(white, [middle]))
        const [u, v] = [own.x - size / 2, own.y - size / 2]
        const { x, y, angle, scale } = places[0]
        // only where the whole sprite is inside of the frame
        const reach = (scale * size) / Math.SQRT2
        if (Math.min(x, y, size - x, size - y) < reach) continue
        const ratio = (scale * size) / side
        const seen = centroid(renderFrame(white, [places[0]]))
        expect(seen.x).toBeCloseTo(x + ratio * (Math.cos(angle) * u - Math.sin(angle) * v), 1)
        expect(seen.y).toBeCloseTo(y + ratio * (Math.sin(angle) * u + Math.cos(angle) * v), 1)
      }
      // nothing but the background where no sprite reaches
      const background = renderFrame(
        scene,
        scene.sprites.map(() => null),
      )
      const shown = clips.subarray(n * frames * each, (n * frames + 1) * each)
      const places = placesAt(scene, 0)
      for (let i = 0; i < size * size; i++) {
        const [x, y] = [(i % size) + 0.5, Math.floor(i / size) + 0.5]
        const isFar = places.every((p) => Math.hypot(x - p.x, y - p.y) > (p.scale * size) / Math.SQRT2 + 2)
        if (isFar) expect(shown.subarray(i * 3, i * 3 + 3)).toEqual(background.subarray(i * 3, i * 3 + 3))
      }
    }
  })

  test('turn clockwise', () => {
    // the left half of a square covered: turned by a quarter it is the upper half
    const half = flatSprite(16, 255)
    const left = (bytes: Uint8Array): Uint8Array =>
      bytes.map((value, i) => (Math.floor(i / 3) % 16 < 8 ? value : 0))
    const sprite = { ...half, colour: left(half.colour), cover: left(half.cover) }
    const { x, y } = centroid(
      renderFrame(sceneOf(sprite), [{ x: 16, y: 16, angle: Math.PI / 2, scale: 0.5 }]),
    )
    expect(x).toBeCloseTo(16, 5)
    expect(y).toBeCloseTo(12, 5)
  })

  test('the first sprite hides those behind it', () => {
    const scene = sceneOf(flatSprite(16, 200), flatSprite(16, 100))
    const at = (x: number): Place => ({ x, y: 16, angle: 0, scale: 0.5 })
    const image = renderFrame(scene, [at(12), at(20)])
    const row = (column: number): number => image[(16 * size + column) * 3]
    expect([row(2), row(10), row(18), row(25), row(30)]).toEqual([0, 200, 200, 100, 0])
    expect(renderFrame(scene, [null, at(20)])[(16 * size + 18) * 3]).toBe(100)
  })

  test('part of a pixel is covered in part, and transparent sprites let the background through', () => {
    const clear: Sprite = { ...flatSprite(16, 50), cover: new Uint8Array(16 * 16 * 3).fill(127) }
    const scene = { ...sceneOf(clear), background: new Float32Array(each).fill(100) }
    const image = renderFrame(scene, [{ x: 16.5, y: 16, angle: 0, scale: 0.5 }])
    const row = (column: number): number => image[(16 * size + column) * 3]
    const inside = Math.floor(50 + 100 * (1 - 127 / 255) + 0.5)
    expect([row(7), row(9), row(23), row(25)]).toEqual([100, inside, inside, 100])
    expect(row(8)).toBe(Math.floor((100 + 50 + 100 * (1 - 127 / 255)) / 2 + 0.5))
  })
})

describe('refusals', () => {
  const failure = (options: Parameters<typeof openData>[0]): Promise<string> =>
    openData(options).then(
      () => 'no error',
      (error: Error) => error.message,
    )

  test('frames that do not fit the kind of data, and a path', async () => {
    expect(await failure({ source: 'moving', size })).toBe(
      'data source "moving" has clips, but frames is 1; pass a whole number from 2 to 4096',
    )
    expect(await failure({ source: 'moving', size, frames: 2.5 })).toMatch(
      /frames is 2\.5; pass a whole number/,
    )
    expect(await failure({ source: 'folder', path: '.', size, frames: 16 })).toMatch(
      /^data source "folder" has still images, but frames is 16; pass 1, or a source of clips \("webdataset", "moving", "clips", "kinetics"\)$/,
    )
    expect(await failure({ source: 'moving', path: 'x', size, frames })).toMatch(/takes no path but got "x"/)
  })

  test('an index that is none of the clips', async () => {
    await expect(train.read([0, 8192])).rejects.toThrow(/no image 8192; pass 0 to 8191/)
    await expect(train.read([0.5])).rejects.toThrow(/no image 0\.5/)
  })
})
