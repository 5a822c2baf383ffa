/** @file examples/onnx: what it makes of exported ONNX models is what the package makes of the run. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Model } from '../../examples/onnx/model.ts'
import { normals } from '../../examples/onnx/noise.ts'
import { openModel, pngOf, readPpm } from '../../examples/onnx/sample.ts'
import { quantiseImages } from '../../src/engine/host/pixels.ts'
import { float32, floats } from '../../src/engine/host/tensor.ts'
import { numberedNoise } from '../../src/method/diffusion/draws.ts'
import { smallRun } from '../export/smallRun.ts'
import { difference, ours, photo } from './onnxCases.ts'

const { exportedTo, opened, workFolder } = await smallRun()

describe('noise', () => {
  it.each([
    [[2, 3, 4, 5], 0, 'decode', 0],
    [[1, 7], 2 ** 40 + 5, 'generate/12', 3],
    [[2, 2], 4294967295, 'z0', 2 ** 33],
  ])(
    '%j of seed %d, stream %s, from example %d on is that of the package, bit for bit',
    (shape, seed, name, first) => {
      expect(normals(seed, name, first, shape)).toEqual(numberedNoise(shape, seed, name, first).data)
    },
  )

  it('is as docs/export.md states it', () => {
    const text = readFileSync('docs/export.md', 'utf8')
    const [, stated] = /its first normals are (.*)\.$/m.exec(text)!
    const numbers = stated.replaceAll('−', '-').split(', ').map(Number)
    expect(Array.from(normals(7, 'generate', 3, [1, 4]), (x) => Number(x.toFixed(5)))).toEqual(numbers)
  })
})

describe('a model', () => {
  let model: Model
  beforeAll(async () => {
    // The first session of a process decides how it treats denormal numbers; other tests rely on the package's way.
    await ours(opened()).reconstruct(photo, 5)
    await exportedTo('example')
    model = openModel(join(workFolder, 'example'))
  })

  it('samples by class, and of no class, with guidance where it acts', async () => {
    const { dims, data } = await model.sample([1, null], 5)
    const expected = await ours(opened()).sample([1, null], 5)
    expect(dims).toEqual(expected.shape)
    expect(difference(data, floats(expected))).toBeLessThan(1e-3)
    // Another seed, and another class, are other images.
    expect(difference((await model.sample([2, null], 5)).data, data)).toBeGreaterThan(0.1)
  })

  it('reconstructs an image', async () => {
    const { data } = await model.reconstruct(photo, 5)
    const expected = await ours(opened()).reconstruct(photo, 5)
    expect(difference(data, floats(expected))).toBeLessThan(1e-3)
    expect(difference(data, photo.data)).toBeGreaterThan(0.01)
  })

  it('as halves differs from the model as it is by less than halves round', async () => {
    // The weights of this run were halves before: nothing is lost.
    await exportedTo('halved', { precision: 'float16', weights: 'beside' })
    const half = openModel(join(workFolder, 'halved'))
    const [a, b] = [await half.reconstruct(photo, 5), await model.reconstruct(photo, 5)]
    expect(difference(a.data, b.data)).toBeLessThan(1e-5)
  })
})

describe('a model of clips', () => {
  it('samples by class, of which nothing is given', async () => {
    const clips = await smallRun('moving')
    await clips.exportedTo('clips')
    const { dims, data } = await openModel(join(clips.workFolder, 'clips')).sample([2, null], 3)
    const expected = await ours(clips.opened()).sample([2, null], 3)
    expect(dims).toEqual([2, 3, 8, 16, 16])
    expect(difference(data, floats(expected))).toBeLessThan(1e-3)
  })
})

describe('files', () => {
  it('PNG: images side by side, bytes as those of the package', async () => {
    const images = Float32Array.from({ length: 2 * 3 * 4 * 5 }, (_, i) => Math.sin(i) * 1.2)
    const { data, info } = await sharp(pngOf({ dims: [2, 3, 4, 5], data: images }))
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect([info.width, info.height, info.channels]).toEqual([10, 4, 3])
    const bytes = quantiseImages(float32([2, 3, 4, 5], images))
    for (let n = 0; n < 2; n++)
      for (let y = 0; y < 4; y++)
        for (let i = 0; i < 15; i++) expect(data[(y * 10 + n * 5) * 3 + i]).toBe(bytes[(n * 4 + y) * 15 + i])
  })

  it('PNG: a clip is a row of frames', async () => {
    const clip = Float32Array.from({ length: 3 * 2 * 4 * 4 }, (_, i) =>
      Math.floor(i / 16) % 2 === 0 ? -1 : 1,
    )
    const { data, info } = await sharp(pngOf({ dims: [1, 3, 2, 4, 4], data: clip }))
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect([info.width, info.height]).toEqual([8, 4])
    expect([data[0], data[3 * 4]]).toEqual([0, 255])
  })

  it('PPM: rows from the top, channels apart', () => {
    const path = join(workFolder, 'a.ppm')
    writeFileSync(path, Buffer.from([...Buffer.from('P6\n2 1\n255\n'), 0, 51, 102, 153, 204, 255]))
    expect(readPpm(path).dims).toEqual([1, 3, 1, 2])
    expect(Array.from(readPpm(path).data, (x) => Math.round(127.5 * x + 127.5))).toEqual([
      0, 153, 51, 204, 102, 255,
    ])
    writeFileSync(path, readFileSync(path).subarray(1))
    expect(() => readPpm(path)).toThrow(/this is no binary PPM of bytes/)
  })

  it('model.json of another version is refused', () => {
    const path = join(workFolder, 'example', 'model.json')
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replace('"version": 1', '"version": 2'))
    expect(() => openModel(join(workFolder, 'example'))).toThrow(/this is no export of version 1/)
    writeFileSync(path, text)
  })
})
