/** @file What a trained run is used for, from outside: sample, reconstruct, encode, decode, evaluate, info, profile. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { halved } from '../../src/engine/host/float16.ts'
import { float32, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { readSafetensors, writeSafetensors } from '../../src/files/safetensors.ts'
import { writeQuarters } from '../features/quarters.ts'
import {
  inWork,
  type JsonLine,
  jsonLines,
  jsonOf,
  makeImages,
  sentenceOf,
  startUl,
  tensorsOf,
  tinySteps,
  tinyTraining,
  ul,
} from './ul.ts'

const run = inWork('run')
const latents = inWork('latents.safetensors')
let discs = ''

beforeAll(async () => {
  const images = await makeImages('images')
  discs = join(images, 'discs')
  const { code, stdout, stderr } = await ul(tinyTraining(images, run))
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^done in .*\n {2}reconstruction .* dB/)])
  expect(stderr).toContain('report: ')
  await jsonOf(['encode', run, discs, '--seed', '5', '--out', latents])
})

/** Pixels of an image, and of one of its 16×16 tiles that is drawn `scale` times as large. */
const rawOf = async (file: string | Buffer): Promise<{ pixels: Buffer; width: number; height: number }> => {
  const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  return { pixels: data, width: info.width, height: info.height }
}
const [scale, gap] = [4, 2]
const tileOf = (
  { pixels, width }: { readonly pixels: Buffer; readonly width: number },
  left: number,
  top: number,
): Buffer => {
  const tile = Buffer.alloc(16 * 16 * 3)
  for (let y = 0; y < 16; y++) {
    for (let x = 0; x < 16; x++) {
      const from = ((top + y * scale) * width + left + x * scale) * 3
      pixels.copy(tile, (y * 16 + x) * 3, from, from + 3)
    }
  }
  return tile
}
const tileStep = 16 * scale + gap

/** PSNR of bytes. */
const psnrOf = (a: Buffer, b: Buffer): number => {
  const squares = a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0)
  return 10 * Math.log10(255 ** 2 / (squares / a.length))
}

const largestDifference = (a: Buffer, b: Buffer): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0)

describe('ul sample', () => {
  it('writes a grid that depends on seed, class and position alone', async () => {
    const draw = async (name: string, count: number, ...more: string[]): ReturnType<typeof rawOf> => {
      const out = inWork(name)
      const [done] = await jsonOf(['sample', run, '--out', out, '-n', `${count}`, ...more])
      expect(done).toMatchObject({ event: 'done', out, count })
      return rawOf(out)
    }
    const five = await draw('five.png', 5, '--class', 'Stripes')
    expect([five.width, five.height]).toEqual([3 * tileStep - gap, 2 * tileStep - gap])
    const other = await draw('other.png', 5, '--class', 'stripes', '--seed', '1')
    expect(other.pixels.equals(five.pixels)).toBe(false)
    // Without a class they take turns: discs, stripes. An image's noise does not depend on those drawn with it.
    const two = await draw('two.png', 2)
    expect(tileOf(two, 0, 0).equals(tileOf(five, 0, 0))).toBe(false)
    expect(largestDifference(tileOf(two, tileStep, 0), tileOf(five, tileStep, 0))).toBeLessThanOrEqual(1)
  })

  it('refuses a class that the run does not have, naming the nearest', async () => {
    expect(await sentenceOf(2, ['sample', run, '--class', 'disc'])).toMatch(/the nearest is 'discs'/)
    expect(await sentenceOf(2, ['sample', run, '--class', 'zebras'])).toMatch(
      /no such class; classes are discs, stripes, none$/,
    )
  })
})

describe('ul reconstruct', () => {
  it('gives figures per image and overall that fit the grid it writes', async () => {
    const out = inWork('pairs.png')
    const lines = await jsonOf(['reconstruct', run, discs, '--out', out])
    const skipped = lines.filter(({ event }) => event === 'skipped')
    expect(skipped).toMatchObject([{ file: join(discs, 'broken.png') }])
    const each = lines.filter(({ event }) => event === 'image')
    expect(each.map(({ file }) => file)).toEqual(
      readdirSync(discs)
        .filter((name) => name !== 'broken.png')
        .map((name) => join(discs, name))
        .sort(),
    )
    const done = lines.at(-1) as JsonLine & Record<'psnr' | 'bitsPerPixel', { mean: number; error: number }>
    expect(done).toMatchObject({ event: 'done', count: 12, skipped: 1, out })
    for (const figure of ['psnr', 'bitsPerPixel'] as const) {
      const values = each.map((line) => Number(line[figure]))
      const mean = values.reduce((a, b) => a + b, 0) / 12
      const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 11
      expect(done[figure].mean).toBeCloseTo(mean, 9)
      expect(done[figure].error).toBeCloseTo(Math.sqrt(variance / 12), 9)
    }
    const grid = await rawOf(out)
    for (let i = 0; i < 8; i++) {
      const original = tileOf(grid, i * tileStep, 0)
      expect(original.equals((await rawOf(String(each[i].file))).pixels)).toBe(true)
      // Eight bits of the drawn image against the float32 of the figure.
      expect(psnrOf(original, tileOf(grid, i * tileStep, tileStep))).toBeCloseTo(Number(each[i].psnr), 1)
    }
  })

  it('draws where the bits are: images above reconstructions above two maps', async () => {
    const [out, maps] = [inWork('with-maps.png'), inWork('maps.png')]
    await jsonOf(['reconstruct', run, discs, '--out', out, '--maps', maps])
    const [pairs, drawn] = [await rawOf(out), await rawOf(maps)]
    // Six times as large, eight beside each other; twelve images take eight rows.
    const [enlarged, across] = [6, 8]
    const step = 16 * enlarged + gap
    expect(drawn.height).toBe(8 * step - gap)
    const labels = drawn.width - (across * step - gap)
    expect(labels).toBeGreaterThan(0)
    const at = ({ pixels, width }: typeof drawn, x: number, y: number): string =>
      pixels
        .subarray(3 * (y * width + x))
        .subarray(0, 3)
        .join()
    for (let i = 0; i < across; i++) {
      for (const [row, x, y] of [
        [0, 8, 8],
        [0, 2, 13],
        [1, 8, 8],
        [1, 3, 12],
      ] as const) {
        const here = at(drawn, labels + i * step + x * enlarged, row * step + y * enlarged)
        expect(here).toBe(at(pairs, i * tileStep + x * scale, row * tileStep + y * scale))
      }
    }
  })

  it('prints figures on stdout, warnings on stderr, and goes on past an image that does not decode', async () => {
    const { code, stdout, stderr } = await ul(['reconstruct', run, join(discs, 'discs-0.png'), discs])
    expect(code).toBe(0)
    expect(stderr).toMatch(/^warning: skipped 1: 1 × is no image \(.*broken\.png\)\n$/)
    const lines = stdout.trimEnd().split('\n')
    expect(lines).toHaveLength(13 + 1)
    expect(lines[0]).toMatch(/discs-0\.png {2}\d+\.\d\d dB {2}\d+\.\d{3} bits\/pixel$/)
    expect(lines.at(-1)).toMatch(/^overall \(13\) /)
  })

  it('refuses what it cannot read at all', async () => {
    const missing = await sentenceOf(1, ['reconstruct', run, 'nothing.png'])
    expect(missing).toBe('nothing.png: there is no such file or folder; check the spelling')
    const broken = await sentenceOf(1, ['reconstruct', run, join(discs, 'broken.png')])
    expect(broken).toMatch(/broken\.png: nothing could be read \(.*\); give PNG, /)
  })
})

/** The latents file that beforeAll made, with its metadata. */
const stored = (): ReturnType<typeof readSafetensors> => readSafetensors(latents)

describe('ul encode', () => {
  it('takes more names than ONNX Runtime stands in a command line, and lets it note nothing', async () => {
    const one = join(discs, readdirSync(discs).find((name) => !name.includes('broken'))!)
    const names = Array.from({ length: Math.ceil(100_000 / one.length) }, () => one)
    const home = inWork('home')
    mkdirSync(home)
    const before = { ...process.env }
    // As a user's shell has it: this process has set the variable for itself already.
    Object.assign(process.env, { HOME: home, XDG_CACHE_HOME: join(home, '.cache') })
    delete process.env.ORT_DISABLE_TELEMETRY
    const running = startUl(['encode', run, ...names, '--out', inWork('many.safetensors')])
    Object.assign(process.env, before)
    for (const name of ['HOME', 'XDG_CACHE_HOME']) if (before[name] === undefined) delete process.env[name]
    const { code, signal, stdout, stderr } = await running
    expect([code, signal, stderr]).toEqual([0, null, ''])
    expect(stdout).toContain(`${names.length} latents`)
    expect(
      readdirSync(home, { recursive: true }).filter((name) => /onnxruntime/i.test(String(name))),
    ).toEqual([])
  })

  it('writes clean latents, noisy latents z0 = α·z + σ·ε, and the names', async () => {
    const { tensors, metadata } = stored()
    expect(Object.keys(tensors).sort()).toEqual(['z', 'z0'])
    expect(tensors.z.shape).toEqual([12, 8, 4, 4])
    expect(tensors.z0.shape).toEqual([12, 8, 4, 4])
    expect(JSON.parse(metadata.files)).toHaveLength(12)
    expect(metadata.logSnr0).toBe('5')
    const [z, z0] = [floats(tensors.z), floats(tensors.z0)]
    const [alpha, sigma] = [Math.sqrt(1 / (1 + Math.exp(-5))), Math.sqrt(1 / (1 + Math.exp(5)))]
    const eps = z0.map((value, i) => (value - alpha * z[i]) / sigma)
    const mean = eps.reduce((a, b) => a + b, 0) / eps.length
    const variance = eps.reduce((sum, e) => sum + (e - mean) ** 2, 0) / eps.length
    expect(Math.abs(mean)).toBeLessThan(0.1)
    expect(Math.abs(variance - 1)).toBeLessThan(0.15)
    // The seed decides the noise and nothing else.
    const other = inWork('other.safetensors')
    await jsonOf(['encode', run, discs, '--seed', '6', '--out', other])
    const second = readSafetensors(other).tensors
    expect(second.z).toEqual(tensors.z)
    expect(second.z0).not.toEqual(tensors.z0)
  })
})

const decodeInto = async (file: string, folder: string, ...more: string[]): Promise<Buffer[]> => {
  const [done] = await jsonOf(['decode', run, file, '--out', folder, ...more])
  const names = readdirSync(folder).sort()
  expect(done).toMatchObject({ event: 'done', count: names.length, out: folder })
  return Promise.all(names.map(async (name) => (await rawOf(join(folder, name))).pixels))
}

describe('ul decode', () => {
  it('of encode with the same seed gives exactly the images of reconstruct', async () => {
    const decoded = await decodeInto(latents, inWork('decoded'), '--seed', '5')
    expect(readdirSync(inWork('decoded')).sort()[0]).toBe('00000-discs-0.png')
    expect(decoded).toHaveLength(12)
    const out = inWork('seed5.png')
    await jsonOf(['reconstruct', run, discs, '--seed', '5', '--out', out])
    const grid = await rawOf(out)
    for (let i = 0; i < 12; i++) {
      const top = Math.floor(i / 8) * (2 * tileStep + 2 * gap) + tileStep
      expect(tileOf(grid, (i % 8) * tileStep, top).equals(decoded[i]), `image ${i}`).toBe(true)
    }
  })

  it('of clean latents adds the noise that encode would have added', async () => {
    const clean = inWork('clean.safetensors')
    writeSafetensors(clean, { z: stored().tensors.z })
    const [a, b] = [
      await decodeInto(clean, inWork('from-clean'), '--seed', '5'),
      await decodeInto(latents, inWork('from-noisy'), '--seed', '5'),
    ]
    expect(a).toHaveLength(12)
    for (const [i, pixels] of a.entries()) expect(pixels.equals(b[i])).toBe(true)
  })

  it.each<[string, Record<string, HostTensor>, RegExp]>([
    ['channels', { z0: float32([2, 3, 4, 4], new Float32Array(96)) }, /latents are \[2,3,4,4\].*\[N,8,4,4\]/],
    ['names', { latents: float32([1], [0]) }, /no tensor 'z0' or 'z'; write it with 'ul encode'/],
  ])('refuses latents of other %s', async (what, tensors, expected) => {
    const file = inWork(`wrong-${what}.safetensors`)
    writeSafetensors(file, tensors)
    expect(await sentenceOf(1, ['decode', run, file, '--out', inWork('never')])).toMatch(expected)
    expect(existsSync(inWork('never'))).toBe(false)
  })

  /** Writes latents as another program would: in its own type, with what else it likes. */
  const foreign = (
    name: string,
    { type = 'F32', bytes, metadata = {} }: { type?: string; bytes: Uint8Array; metadata?: object },
  ): string => {
    const file = inWork(`${name}.safetensors`)
    const { shape } = stored().tensors.z0
    const json = JSON.stringify({
      __metadata__: metadata,
      z0: { dtype: type, shape, data_offsets: [0, bytes.length] },
      labels: { dtype: 'U8', shape: [3], data_offsets: [bytes.length, bytes.length + 3] },
    })
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)))
    writeFileSync(file, Buffer.concat([length, Buffer.from(json), bytes, Buffer.alloc(3)]))
    return file
  }
  const numbers = (): Float32Array => stored().tensors.z0.data as Float32Array
  const bytesIn = ({ buffer, byteOffset, byteLength }: NodeJS.TypedArray): Uint8Array =>
    new Uint8Array(buffer, byteOffset, byteLength)

  it.each([
    ['F32', 0, () => bytesIn(numbers())],
    ['F64', 0, () => bytesIn(Float64Array.from(numbers()))],
    ['F16', 3, () => bytesIn(halved(float32([numbers().length], numbers())).data)],
    ['BF16', 16, () => bytesIn(Uint16Array.from(new Uint32Array(numbers().slice().buffer), (x) => x >>> 16))],
  ] as const)('reads latents of %s beside tensors of other types', async (type, most, bytes) => {
    const decoded = await decodeInto(
      foreign(type, { type, bytes: bytes() }),
      inWork(`as-${type}`),
      '--seed',
      '5',
    )
    const wanted = await decodeInto(latents, inWork(`as-they-are-${type}`), '--seed', '5')
    for (const [i, pixels] of decoded.entries()) {
      const off = pixels.reduce((sum, value, k) => sum + Math.abs(value - wanted[i][k]), 0) / pixels.length
      expect(off, `image ${i}`).toBeLessThanOrEqual(most)
    }
  })

  it.each([
    ['no JSON', { files: 'a.png,b.png' }],
    ['numbers', { files: '[1, 2]' }],
    ['an object', { files: '{"0": "a.png"}' }],
    ['nothing', {}],
  ])('numbers the images where the names are %s', async (what, metadata) => {
    const folder = inWork(`named by ${what}`)
    await decodeInto(foreign(what, { bytes: bytesIn(numbers()), metadata }), folder, '--seed', '5')
    expect(readdirSync(folder).sort().slice(0, 2)).toEqual(['00000-latent.png', '00001-latent.png'])
  })

  it.each([
    ['NaN', Number.NaN, 0],
    ['Infinity', Number.POSITIVE_INFINITY, 1],
    ['-Infinity', Number.NEGATIVE_INFINITY, 11],
  ])('refuses latents that hold %s', async (what, value, image) => {
    const data = numbers().slice()
    data[image * (data.length / 12) + 7] = value
    const file = foreign(`holds ${what}`, { bytes: bytesIn(data) })
    expect(await sentenceOf(1, ['decode', run, file, '--out', inWork('never')])).toBe(
      `${file}: tensor "z0": latent ${image} holds ${what}, which is no number; encode that image again`,
    )
  })

  it('refuses latents of whole numbers', async () => {
    const file = foreign('bytes', { type: 'I8', bytes: new Uint8Array(numbers().length) })
    expect(await sentenceOf(1, ['decode', run, file, '--out', inWork('never')])).toMatch(
      /tensor "z0" is stored as I8; save it as float32$/,
    )
  })

  it('refuses files that are missing, cut off or no safetensors', async () => {
    const cut = inWork('cut.safetensors')
    cpSync(latents, cut)
    truncateSync(cut, 3000)
    writeFileSync(inWork('text.safetensors'), 'certainly no tensors')
    for (const name of ['cut', 'text', 'missing']) {
      const file = inWork(`${name}.safetensors`)
      const sentence = await sentenceOf(1, ['decode', run, file, '--out', inWork('never')])
      expect(sentence.startsWith(`${file}: `), sentence).toBe(true)
      expect(sentence).toMatch(/; give a file that 'ul encode' wrote$/)
      if (name === 'text') expect(sentence).toContain('this is not a safetensors file')
    }
    expect(existsSync(inWork('never'))).toBe(false)
  })
})

describe('--out', () => {
  it('is checked before anything is computed', async () => {
    mkdirSync(inWork('a-folder'))
    writeFileSync(inWork('a-file'), '')
    const missing = 'missing.safetensors' // whatever is read later is not even there
    for (const [args, option] of [
      [['sample', run, '--class', 'missing'], '--out'],
      [['reconstruct', run, 'missing.png'], '--out'],
      [['reconstruct', run, 'missing.png'], '--maps'],
      [['encode', run, 'missing.png'], '--out'],
      [['data', 'folder', '--path', 'missing'], '--out'],
      [['report', 'missing'], '--out'],
      [['report', 'missing'], '--csv'],
    ] as const) {
      expect(await sentenceOf(2, [...args, option, 'a-folder'])).toBe(
        `${option} a-folder: this names a folder; give the name of a file`,
      )
    }
    expect(await sentenceOf(2, ['report', 'missing', '--png', 'nowhere/'])).toMatch(/this names a folder/)
    expect(await sentenceOf(2, ['report', 'missing', '--png', 'a-file/x.png'])).toBe(
      `--png a-file/x.png: ${inWork('a-file')} is a file; give a folder`,
    )
    for (const args of [
      ['decode', run, missing],
      ['export', run],
      ['train', 'study'],
    ]) {
      expect(await sentenceOf(2, [...args, '--out', 'a-file'])).toBe(
        `--out a-file: ${inWork('a-file')} is a file; give a folder`,
      )
    }
  })

  it('makes the folder of a file', async () => {
    await jsonOf(['sample', run, '-n', '1', '--out', inWork('new', 'folder', 'one.png')])
    expect(existsSync(inWork('new', 'folder', 'one.png'))).toBe(true)
  })
})

describe('ul evaluate', () => {
  it('--json measures what training measured', async () => {
    const done = (await jsonOf(['evaluate', run])).at(-1)!
    const trained = JSON.parse(readFileSync(join(run, 'evaluation.json'), 'utf8'))
    for (const figure of ['count', 'psnr', 'gridPsnr', 'latentRms']) {
      expect(done[figure], figure).toEqual(trained[figure])
    }
    // Times and noises are drawn more often here than at the end of training.
    const { mean } = done.bitsPerPixel as { mean: number }
    expect(mean / trained.bitsPerPixel.mean).toBeGreaterThan(0.3)
    expect(mean / trained.bitsPerPixel.mean).toBeLessThan(3)
  })
})

describe('ul info', () => {
  it('counts the parameters that the checkpoints hold', async () => {
    const [info] = await jsonOf(['info', run])
    expect(info).toMatchObject({ event: 'done', latentShape: [8, 4, 4] })
    const counted: Record<string, number> = {}
    for (const stage of ['stage1', 'stage2']) {
      for (const [name, { data }] of Object.entries(tensorsOf(run, stage, tinySteps))) {
        const network = /^param\/(\w+)\./.exec(name)?.[1]
        if (network !== undefined) counted[network] = (counted[network] ?? 0) + data.length
      }
    }
    const networks = info.networks as { network: string; parameters: number }[]
    expect(Object.fromEntries(networks.map((n) => [n.network, n.parameters]))).toEqual(counted)
  })

  it('knows presets', async () => {
    const { code, stdout, stderr } = await ul(['info', 'emoji64'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^emoji64: latent 16×8×8 /)
  })
})

describe('ul profile', () => {
  it('shares add up to one and kernels fit into the time of a step', async () => {
    const finished = await ul(['profile', run, '--steps', '1', '--json'])
    const [done] = jsonLines(finished)
    for (const table of ['byOperator', 'byLayer', 'byOp']) {
      const rows = done[table] as { share: number; milliseconds: number }[]
      expect(rows.length).toBeGreaterThan(3)
      expect(rows.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9)
      const time = rows.reduce((sum, { milliseconds }) => sum + milliseconds, 0)
      expect(time / Number(done.kernelMilliseconds)).toBeCloseTo(1, 9)
    }
  })
})

describe('the memory that ul info predicts', () => {
  it.each([
    ['quickstart', '1'],
    ['moving', '1'],
    ['moving', '2'],
  ])('of %s, stage %s, is within 15 percent of the peak of a step', async (preset, stage) => {
    const [done] = await jsonOf(['profile', preset, '--stage', stage, '--steps', '1'], startUl)
    const ratio = Number(done.predictedBytes) / Number(done.residentBytes)
    expect(ratio).toBeGreaterThan(0.85)
    expect(ratio).toBeLessThan(1.15)
  })
})

describe('ul distill', () => {
  it('makes a run that decodes in fewer steps and is used like any other', async () => {
    const out = inWork('student')
    const command = ['distill', run, '--out', out, '--train-steps', '3', '--batch', '4', '--json']
    expect(jsonLines(await ul(command)).at(-1)).toMatchObject({ event: 'done', run: out })
    const before = tensorsOf(out, 'student', 3)
    expect((await ul(command)).code).toBe(0)
    expect(tensorsOf(out, 'student', 3)).toEqual(before)
    // The latents are those of its teacher, and it decodes them in another way.
    const own = inWork('student.safetensors')
    await jsonOf(['encode', out, discs, '--seed', '5', '--out', own])
    expect(readSafetensors(own).tensors).toEqual(readSafetensors(latents).tensors)
    const draw = async (from: string): Promise<Buffer> => {
      await jsonOf(['sample', from, '-n', '1', '--out', inWork('one.png')])
      return (await rawOf(inWork('one.png'))).pixels
    }
    const drawn = await draw(out)
    expect(drawn).not.toEqual(await draw(run))
    await jsonOf(['export', out, '--out', inWork('student-model')])
    expect(largestDifference(await draw(inWork('student-model')), drawn)).toBeLessThan(8)
  })
})

describe('ul export', () => {
  it('writes a model that is used like the run, and that training does not overwrite', async () => {
    const out = inWork('model')
    const [done] = await jsonOf(['export', run, '--out', out])
    expect(done).toMatchObject({ event: 'done', path: join(out, 'weights.safetensors') })
    expect(done.bytes).toBeGreaterThan(2 * Number(done.parameters))
    const draw = async (from: string): Promise<Buffer> => {
      await jsonOf(['sample', from, '-n', '1', '--out', inWork('one.png')])
      return (await rawOf(inWork('one.png'))).pixels
    }
    expect(largestDifference(await draw(out), await draw(run))).toBeLessThan(16)
    const before = readFileSync(join(out, 'weights.safetensors'))
    const config = readFileSync(join(out, 'config.yaml'), 'utf8')
    const refused = await sentenceOf(2, tinyTraining(join(discs, '..'), out))
    expect(refused).toMatch(
      /model: it holds an exported run, which has no state to train from; give another --out/,
    )
    expect(readFileSync(join(out, 'weights.safetensors')).equals(before)).toBe(true)
    expect(readFileSync(join(out, 'config.yaml'), 'utf8')).toBe(config)
    expect(await sentenceOf(2, ['export', out, '--out', run])).toMatch(
      /run: it holds a run, which an export would/,
    )
  })
})

describe('ul evaluate --samples and ul report', () => {
  it('measures by a feature network, keeps that with the run, and a report finds it', async () => {
    const features = writeQuarters(inWork())
    const measure = ['evaluate', run, '--samples', '8', '--features', features, '--no-bias']
    const done = (await jsonOf(measure)).at(-1) as JsonLine & Record<string, { frechet: number }>
    const kept = JSON.parse(readFileSync(join(run, 'quality.json'), 'utf8')) as JsonLine
    expect(kept).toEqual({
      protocol: done.protocol,
      reconstruction: done.reconstruction,
      generation: done.generation,
    })
    expect(done.generation.frechet).toBeGreaterThan(0)
    const [page, csv, png] = ['page.html', 'table.csv', 'curves.png'].map((name) => inWork(name))
    const asked = ['report', run, '--out', page, '--csv', csv, '--png', png]
    const { code, stdout, stderr } = await ul(asked)
    expect([code, stderr]).toEqual([0, `written: ${page}, ${csv}, ${png}\n`])
    const [line] = await jsonOf(asked)
    expect(line).toMatchObject({ event: 'done', out: page, csv, png, rows: [{ runs: 1 }] })
    const [row] = line.rows as Record<string, { mean: number }>[]
    expect(row.gFD.mean).toBe(done.generation.frechet)
    const head = stdout.split('\n')[0].slice(2, -2).split(' | ')
    const cells = readFileSync(csv, 'utf8').split('\n')[1].split(',')
    const column = readFileSync(csv, 'utf8').split('\n')[0].split(',').indexOf('gFD')
    expect(Number(cells[column])).toBe(done.generation.frechet)
    expect(head).toContain('gFD')
    expect(readFileSync(page, 'utf8')).toContain('quarters: 12 features')
    expect((await sharp(png).metadata()).format).toBe('png')
  })

  it('names a feature network that is not there', async () => {
    const asked = ['evaluate', run, '--samples', '8', '--features', 'missing.onnx']
    const { code, stderr } = await ul(asked)
    expect(code).toBe(1)
    expect(stderr.split('\n').at(-2)).toBe(
      'ul: features: missing.onnx does not exist; give the path of an ONNX file',
    )
  })
})
