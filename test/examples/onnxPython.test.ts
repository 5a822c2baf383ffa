/** @file examples/onnx/sample.py, and both examples as commands: their images are those of `ul`. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { floats } from '../../src/engine/host/tensor.ts'
import { numberedNoise } from '../../src/method/diffusion/draws.ts'
import { startUl } from '../commands/ul.ts'
import { smallRun } from '../export/smallRun.ts'
import { difference, ours, photo, photoPpm } from './onnxCases.ts'

const { exportedTo, opened, runFolder, workFolder } = await smallRun()

const root = fileURLToPath(new URL('../..', import.meta.url))
const python = process.env.UL_PYTHON ?? 'python3'
const lacks = spawnSync(python, ['-c', 'import numpy, onnxruntime']).status !== 0
const model = join(workFolder, 'model')
const inModel = (name: string): string => join(workFolder, name)

/** Float32 numbers that a program left in a file. */
const numbersIn = (name: string): Float32Array => {
  // A small file shares its buffer with others.
  const { buffer, byteOffset, length } = readFileSync(inModel(name))
  return new Float32Array(buffer.slice(byteOffset, byteOffset + length))
}

const run = (command: string, args: readonly string[]): string => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', cwd: workFolder })
  expect(stderr).toBe('')
  expect(status).toBe(0)
  return stdout
}

/** Calls the example's own functions and writes what they give. */
const driver = `
import sys
sys.path.insert(0, ${JSON.stringify(join(root, 'examples/onnx'))})
sys.dont_write_bytecode = True
import numpy as np
import onnxruntime
import sample
model = sample.Model(${JSON.stringify(model)}, onnxruntime.InferenceSession)
model.sample([1, None], 5).tofile("sampled")
model.reconstruct(sample.read_ppm("photo.ppm"), 5).tofile("reconstructed")
sample.normals(2**40 + 5, "generate/12", 3, [3, 1001]).tofile("noise")
`

beforeAll(async () => {
  await exportedTo('model')
  writeFileSync(inModel('photo.ppm'), photoPpm())
})

/** Pixels of a PNG. */
const pixelsOf = (path: string): Promise<Buffer> => sharp(path).removeAlpha().raw().toBuffer()

/** The largest difference of two pictures, in bytes. */
const apart = (a: Buffer, b: Buffer): number => {
  expect(a.length).toBe(b.length)
  return a.reduce((most, byte, i) => Math.max(most, Math.abs(byte - b[i])), 0)
}

/** Two images of Food & Drink that the command line writes, side by side. */
const ownSamples = async (): Promise<Buffer> => {
  const args = [
    'sample',
    runFolder,
    '-n',
    '2',
    '--class',
    'Food & Drink',
    '--seed',
    '7',
    '--out',
    `${inModel('own')}/`,
  ]
  expect((await startUl(args)).code).toBe(0)
  const parts = ['00000.png', '00001.png'].map((input, i) => ({
    input: inModel(`own/${input}`),
    left: 16 * i,
    top: 0,
  }))
  const grid = sharp({ create: { width: 32, height: 16, channels: 3, background: 'black' } })
  return grid.composite(parts).removeAlpha().raw().toBuffer()
}

const commands = {
  Python: [python, join(root, 'examples/onnx/sample.py')],
  TypeScript: [process.execPath, join(root, 'dist-examples/onnx/sample.mjs')],
} as const

describe.each(Object.entries(commands))('the example in %s as a command', (name, [command, file]) => {
  it.skipIf(name === 'Python' && lacks)('samples the images of ul sample', async () => {
    const out = inModel(`${name}.png`)
    run(command, [file, model, '--class', 'Food & Drink', '--count', '2', '--seed', '7', '--out', out])
    // Floats that differ by 1e-3 at most lie at most one byte apart.
    expect(apart(await pixelsOf(out), await ownSamples())).toBeLessThanOrEqual(1)
  })

  it.skipIf(name === 'Python' && lacks)('shows an image beside its reconstruction', async () => {
    const out = inModel(`${name}-pair.png`)
    run(command, [file, model, '--reconstruct', 'photo.ppm', '--out', out])
    const { width, height } = await sharp(out).metadata()
    expect([width, height]).toEqual([32, 16])
    const original = await sharp(out).extract({ left: 0, top: 0, width: 16, height: 16 }).raw().toBuffer()
    expect(apart(original, photoPpm().subarray('P6\n16 16\n255\n'.length))).toBe(0)
  })

  it.skipIf(name === 'Python' && lacks)('says in one line what classes there are', () => {
    const { status, stderr } = spawnSync(command, [file, model, '--class', 'Cars'], { encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toMatch(/^--class Cars: classes are Animals, Food & Drink, Flags\n$/)
  })
})

describe.skipIf(lacks)(`functions of the example in Python (numpy and onnxruntime of ${python})`, () => {
  beforeAll(() => {
    writeFileSync(inModel('driver.py'), driver)
    run(python, ['driver.py'])
  })

  it('draw the noise of the package, to the last bit but for rounding', () => {
    const expected = floats(numberedNoise([3, 1001], 2 ** 40 + 5, 'generate/12', 3))
    expect(difference(numbersIn('noise'), expected)).toBeLessThan(5e-7)
  })

  it('sample by class, and of no class', async () => {
    const expected = await ours(opened()).sample([1, null], 5)
    expect(difference(numbersIn('sampled'), floats(expected))).toBeLessThan(1e-3)
  })

  it('reconstruct an image', async () => {
    const expected = await ours(opened()).reconstruct(photo, 5)
    expect(difference(numbersIn('reconstructed'), floats(expected))).toBeLessThan(1e-3)
  })
})
