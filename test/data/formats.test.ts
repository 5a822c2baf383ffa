/** @file What is particular to each container format: names, labels, odd but valid files, and files made to do harm. */

import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { crc32, deflateRawSync, gzipSync } from 'node:zlib'
import sharp from 'sharp'
import { describe, expect, test } from 'vitest'
import { bytesInMemory, openBytes } from '../../src/data/formats/bytes.ts'
import { withHalves } from '../../src/data/formats/containers.ts'
import { withClasses } from '../../src/data/formats/records.ts'
import { scanTar, type TarMember } from '../../src/data/formats/webdataset.ts'
import { decodeImage, isUndecodable } from '../../src/data/images/decode.ts'
import type { DataSplit, ImageSource } from '../../src/data/images/source.ts'
import { type DataOptions, openData } from '../../src/data/open.ts'
import { npy } from './arrays.ts'
import { goldenData, goldenImage, goldenPng, tar } from './golden.ts'
import { temporaryFolder, writeFiles } from './temporary.ts'

const open = async (source: string, where: string, options: Partial<DataOptions> = {}): Promise<DataSplit> =>
  openData({ source, path: where, size: 8, cacheDir: await temporaryFolder(), ...options })

const failure = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => 'no error',
    (error: Error) => error.message,
  )

const images = ({ train, validation }: DataSplit) => {
  const of = (half: ImageSource) =>
    Array.from({ length: half.count }, (_, i) => ({
      id: half.id(i),
      label: half.classes[half.label(i)] ?? null,
      caption: half.caption(i),
    }))
  return [...of(train), ...of(validation)].sort((a, b) => (a.id < b.id ? -1 : 1))
}

describe('halves by name', () => {
  test.each([
    [['a-train-0', 'a-val-0', 'b'], { 'a-train-0': 'train', 'a-val-0': 'validation' }],
    [['train/0', 'test/0'], { 'train/0': 'train', 'test/0': 'validation' }],
    // with a validation half, the test half stays unseen
    [['train', 'validation', 'test'], { train: 'train', validation: 'validation' }],
    [['x_train', 'x_test', 'latest'], { x_train: 'train', x_test: 'validation' }],
    [['t10k-images', 'train-images'], { 't10k-images': 'validation', 'train-images': 'train' }],
    [
      ['imagenet-val2012', 'imagenet-train2012'],
      { 'imagenet-val2012': 'validation', 'imagenet-train2012': 'train' },
    ],
    [['interval', 'contest', 'training'], { interval: 'train', contest: 'train', training: 'train' }],
  ])('%j', (names, expected) => {
    const { kept } = withHalves(
      names.map((name) => ({ name })),
      ({ name }) => name,
    )
    expect(Object.fromEntries(kept.map(({ name, half }) => [name, half]))).toEqual(expected)
  })
})

describe('labels become classes', () => {
  const record = (id: string, label: number | string | null) =>
    ({ id, label, caption: '', half: 'train', load: () => '' }) as const
  const classed = (labels: readonly (number | string | null)[], names: readonly string[] | null) => {
    const given = labels.map((label, i) => record(String(i), label))
    const { classes, records, skipped } = withClasses(given, names)
    return {
      classes,
      labels: records.map(({ label }) => label),
      skipped: skipped.map(({ reason }) => reason),
    }
  }

  test('numbers in order, names in byte order, or none at all', () => {
    expect(classed([10, 9, 10], null)).toEqual({ classes: ['9', '10'], labels: [1, 0, 1], skipped: [] })
    expect(classed(['b', 'B', 'a'], null)).toEqual({
      classes: ['B', 'a', 'b'],
      labels: [2, 0, 1],
      skipped: [],
    })
    expect(classed([null, -1], null)).toEqual({ classes: [], labels: [-1, -1], skipped: [] })
  })

  test('with names, a number is their index; what fits none is left out and named', () => {
    expect(classed([1, 7, null, 'x', -1], ['x', 'y', 'z'])).toEqual({
      classes: ['x', 'y', 'z'],
      labels: [1, 0],
      skipped: [
        'label 7 is none of the 3 classes',
        'has no label, unlike others',
        'has no label, unlike others',
      ],
    })
  })
})

describe('webdataset', () => {
  const members = async (file: string): Promise<TarMember[]> => {
    const found: TarMember[] = []
    await scanTar(await openBytes(file), (member) => void found.push(member))
    return found
  }

  test.each(['gnu', 'pax', 'ustar'] as const)('long and foreign names in %s tars', async (format) => {
    const folder = await temporaryFolder()
    const long = `${'d'.repeat(90)}/${'e'.repeat(90)}`
    const names = [`${long}/1.png`, 'ä ö/2.png', '3.png']
    for (const [i, name] of names.entries()) await writeFiles(folder, { [name]: `content ${i}` })
    const out = path.join(folder, 'out.tar')
    await tar(folder, out, names, format)
    const found = await members(out)
    expect(found.map(({ name }) => name)).toEqual(names)
    const bytes = await readFile(out)
    const contents = found.map(({ offset, size }) => bytes.toString('utf8', offset, offset + size))
    expect(contents).toEqual(['content 0', 'content 1', 'content 2'])
  })

  test('folders and links are stepped over', async () => {
    const folder = await temporaryFolder()
    await writeFiles(folder, { 'in/a.png': await goldenPng(1) })
    await tar(folder, path.join(folder, 'x.tar'), ['in', 'in/a.png'])
    const found = await members(path.join(folder, 'x.tar'))
    expect(found.map(({ name }) => name)).toContain('in/a.png')
  })

  test('keys, endings, labels and captions', async () => {
    const folder = await temporaryFolder()
    const png = await goldenPng(1)
    const json = (value: unknown): string => JSON.stringify(value)
    const files = {
      'a.png': png,
      'a.json': json({ label: 'dog', caption: ' two\nlines ' }),
      'b.mask.png': await goldenPng(2),
      'b.PNG': png,
      'b.cls': 'cat',
      'c.d.png': png, // ending d.png of key c
      'c.json': json({ class_name: 'dog', label: 7, text: 'x' }),
      'sub/a.jpg': png,
      'sub/a.cls': 'dog',
      'e.png': png, // no label
      'f.png': png,
      'f.json': '{',
      'g.txt': 'no image',
      'h.png': 'no png',
      'h.cls': 'cat',
    }
    await writeFiles(folder, files)
    await tar(folder, path.join(folder, 's.tar'), Object.keys(files))
    const data = await open('webdataset', path.join(folder, 's.tar'))
    expect(images(data)).toEqual([
      { id: 's.tar/a', label: 'dog', caption: 'two lines' },
      { id: 's.tar/b', label: 'cat', caption: '' },
      { id: 's.tar/c', label: 'dog', caption: 'x' },
      { id: 's.tar/sub/a', label: 'dog', caption: '' },
    ])
    expect(data.skipped.map(({ file }) => file).sort()).toEqual(['s.tar/e', 's.tar/f', 's.tar/h'])
    for (const half of [data.train, data.validation])
      for (let i = 0; i < half.count; i++) expect(await half.read([i])).toEqual(goldenImage(1))
  })

  test('what is no tar is told so', async () => {
    const folder = await temporaryFolder()
    await writeFiles(folder, { 'a.tar': gzipSync('x'), 'b.tar': 'x'.repeat(2000), 'c/d.txt': '' })
    expect(await failure(open('webdataset', path.join(folder, 'a.tar')))).toMatch(/only 21 more bytes/)
    const zipped = Buffer.concat([gzipSync('x'), Buffer.alloc(600)])
    await writeFiles(folder, { 'a.tar': zipped })
    expect(await failure(open('webdataset', path.join(folder, 'a.tar')))).toMatch(/found gzip data.*gunzip/)
    expect(await failure(open('webdataset', path.join(folder, 'b.tar')))).toMatch(
      /byte 0: .*checksum is wrong/,
    )
    expect(await failure(open('webdataset', path.join(folder, 'c')))).toMatch(
      /only files of other kinds \(1 \.txt\).*\.tar/,
    )
  })

  test('a size beyond the end asks for no memory', async () => {
    const folder = await temporaryFolder()
    const header = Buffer.alloc(1536)
    header.write('a.png', 0)
    header.set([0x80, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 124) // 2⁴⁷ bytes
    header.write('        0', 148)
    let sum = 0
    for (const byte of header.subarray(0, 512)) sum += byte
    sum += 32 - header[156]
    header[156] = 0x30
    sum += header[156] - 32
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    await writeFile(path.join(folder, 'bomb.tar'), header)
    expect(await failure(open('webdataset', path.join(folder, 'bomb.tar')))).toMatch(
      /byte 0: found a member of \d{12,} bytes, of which 1024 are there/,
    )
  })
})

describe('parquet', () => {
  test('files of another kind and without a column of images', async () => {
    const folder = await temporaryFolder()
    await writeFiles(folder, { 'x.parquet': 'PAR1 and then nothing', 'y.parquet': '' })
    expect(await failure(open('parquet', path.join(folder, 'x.parquet')))).toMatch(/byte 17: found "hing"/)
    expect(await failure(open('parquet', path.join(folder, 'y.parquet')))).toMatch(
      /byte 0: found only 0 bytes/,
    )
    expect(await failure(open('parquet', folder))).toMatch(/parquet/)
  })

  test('a run of a thousand million levels is refused before it is unrolled', async () => {
    const folder = await temporaryFolder()
    const bytes = await readFile(goldenData('parquet-plain', 'part2.parquet'))
    // 2 bytes of levels: a run of 12, all present
    const at = bytes.lastIndexOf(Buffer.from([2, 0, 0, 0, 24, 1]))
    expect(at).toBeGreaterThan(0)
    bytes.set([0xfe, 0xff, 0xff, 0xff, 0x07], at + 4) // the library reads on whatever the length says
    await writeFile(path.join(folder, 'bomb.parquet'), bytes)
    expect(await failure(open('parquet', path.join(folder, 'bomb.parquet')))).toMatch(
      /bomb\.parquet: byte \d+: found row group 0 .*a run of 1073741823 entries where there are 12/,
    )
  })

  test('streams from row groups in any order', async () => {
    const { train } = await open('parquet', goldenData('parquet'), { packBytes: 0 })
    const order = Array.from({ length: 24 }, (_, i) => (i * 7) % 24)
    const pixels = await train.read(order)
    order.forEach((i, k) => {
      expect(pixels.subarray(k * 192, (k + 1) * 192)).toEqual(goldenImage(i))
    })
  })
})

describe('cifar', () => {
  test('an impossible label, a partial record, both sets at once', async () => {
    const folder = await temporaryFolder()
    const batch = await readFile(goldenData('cifar10', 'data_batch_2.bin'))
    const bad = Buffer.from(batch)
    bad[3073] = 200
    await writeFiles(folder, { 'data_batch_1.bin': bad })
    expect(await failure(open('cifar', folder))).toMatch(/data_batch_1\.bin: byte 3073: found label 200/)
    await writeFiles(folder, { 'data_batch_1.bin': batch.subarray(0, 4000) })
    expect(await failure(open('cifar', folder))).toMatch(/byte 3073: found 927 bytes before the end/)
    await writeFiles(folder, { 'data_batch_1.bin': batch })
    await copyFile(goldenData('cifar100', 'train.bin'), path.join(folder, 'train.bin'))
    expect(await failure(open('cifar', folder))).toMatch(/holds CIFAR-10 and CIFAR-100 files/)
  })
})

describe('idx', () => {
  test('labels that do not belong, and images without labels', async () => {
    const folder = await temporaryFolder()
    const images = await readFile(goldenData('idx', 't10k-images-idx3-ubyte'))
    await writeFiles(folder, { 'images-idx3-ubyte': images })
    const data = await open('idx', folder)
    expect([data.train.classes, data.train.label(0), data.train.count + data.validation.count]).toEqual([
      [],
      -1,
      10,
    ])
    const labels = Buffer.from([0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3])
    await writeFiles(folder, { 'labels-idx1-ubyte': labels })
    expect(await failure(open('idx', folder))).toMatch(
      /labels-idx1-ubyte: byte 4: found 3 labels, expected 10/,
    )
    await writeFiles(folder, { 'labels-idx1-ubyte': images })
    expect(await failure(open('idx', folder))).toMatch(
      /byte 0: found magic number 00000803, expected 00000801/,
    )
  })

  test('gzip bombs are refused before they unpack', async () => {
    const folder = await temporaryFolder()
    const header = Buffer.from([0, 0, 8, 3, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0x10, 0, 0, 0, 0x10, 0])
    const file = path.join(folder, 'bomb-images-idx3-ubyte.gz')
    await writeFile(file, gzipSync(Buffer.concat([header, Buffer.alloc(1000)])))
    expect(await failure(open('idx', file))).toMatch(/asks for \d+ bytes, expected no more than/)
    const small = Buffer.from([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 8])
    await writeFile(file, gzipSync(Buffer.concat([small, Buffer.alloc(2 ** 24)])))
    expect(await failure(open('idx', file))).toMatch(/byte 80: found more bytes, expected the end/)
  })
})

describe('npy', () => {
  test('alpha lies on white, as in a PNG of the same pixels', async () => {
    const { train } = await open('npy', goldenData('npy-alpha'))
    for (let k = 0; k < train.count; k++) {
      const i = Number(train.id(k).split('/').at(-1))
      const png = await sharp(goldenImage(i, 8, 4), { raw: { width: 8, height: 8, channels: 4 } })
        .png()
        .toBuffer()
      const decoded = await decodeImage(png, { size: 8, fit: 'cover' })
      expect(isUndecodable(decoded)).toBe(false)
      expect(await train.read([k])).toEqual(new Uint8Array(decoded as Uint8Array))
    }
  })

  test('floats outside 0..1 are skipped and named', async () => {
    const folder = await temporaryFolder()
    const values = new Float32Array(5 * 16).fill(0.5)
    values[20] = 2
    values[40] = Number.NaN
    await writeFiles(folder, { 'images.npy': npy('<f4', '(5, 4, 4)', new Uint8Array(values.buffer)) })
    const { skipped, train } = await open('npy', folder)
    expect(train.count).toBe(2)
    expect(skipped.map(({ file }) => file)).toEqual(['images/1', 'images/2'])
    expect(skipped[0].reason).toMatch(/value 2 at byte \d+ of .*images\.npy is not from 0 to 1/)
  })

  test.each([
    ['|u1', '(8, 8, 3)', 'False', /one image, expected \[N, H, W\]/],
    ['|u1', '(3, 8, 8)', 'False', /one image of 3 planes or 3 grey images/],
    ['|u1', '(4, 6, 8)', 'False', /one image of 4 planes or 4 grey images/],
    ['|u1', '(3, 8, 8)', 'True', /Fortran order/],
    ['|O', '(3, 8, 8)', 'False', /pickled array/],
    ['<i4', '(1, 6, 8)', 'False', /entries of type i4/],
    ['|u1', '(192,)', 'False', /shape \(192\)/],
    ['|u1', '(3, 8, 9)', 'False', /byte \d+: found \d+ bytes in all, expected \d+/],
    ['|u1', '(99999999999, 99999999999)', 'False', /expected \d/],
    ['|u1', '(2, 2, 6, 8)', 'False', /shape \(2, 2, 6, 8\)/],
  ])('%s %s, Fortran %s is refused', async (descr, shape, fortran, expected) => {
    const folder = await temporaryFolder()
    await writeFile(path.join(folder, 'images.npy'), npy(descr, shape, new Uint8Array(192), fortran))
    const text = await failure(open('npy', folder))
    expect(text).toMatch(expected)
    expect(text).toContain('images.npy')
  })

  test('labels of another number', async () => {
    const folder = await temporaryFolder()
    await mkdir(folder, { recursive: true })
    await writeFiles(folder, {
      'x.npy': npy('|u1', '(5, 8, 8)', new Uint8Array(320)),
      'y.npy': npy('|u1', '(2,)', new Uint8Array(2)),
    })
    expect(await failure(open('npy', folder))).toMatch(
      /y\.npy: byte 8: found shape \(2\) of u1, expected 5 labels/,
    )
  })

  test('zip bombs are refused', async () => {
    const folder = await temporaryFolder()
    const data = deflateRawSync(Buffer.alloc(1000))
    const name = Buffer.from('images.npy')
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50)
    local.writeUInt16LE(8, 8)
    local.writeUInt16LE(name.length, 26)
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50)
    entry.writeUInt16LE(8, 10)
    entry.writeUInt32LE(crc32(Buffer.alloc(1000)), 16)
    entry.writeUInt32LE(data.length, 20)
    entry.writeUInt32LE(0xfffffff0, 24)
    entry.writeUInt16LE(name.length, 28)
    const end = Buffer.alloc(22)
    end.writeUInt32LE(0x06054b50)
    end.writeUInt16LE(1, 8)
    end.writeUInt16LE(1, 10)
    end.writeUInt32LE(46 + name.length, 12)
    end.writeUInt32LE(30 + name.length + data.length, 16)
    await writeFile(path.join(folder, 'b.npz'), Buffer.concat([local, name, data, entry, name, end]))
    expect(await failure(open('npy', path.join(folder, 'b.npz')))).toMatch(
      /b\.npz \(images\.npy\): byte 0: found a member that asks for 4294967280 bytes/,
    )
  })
})

describe('random access', () => {
  test('reads within, and refuses beyond the end', async () => {
    const folder = await temporaryFolder()
    const file = path.join(folder, 'f.bin')
    await writeFile(file, Buffer.from([0, 1, 2, 3, 4, 5, 6, 7]))
    for (const bytes of [await openBytes(file), bytesInMemory('memory', await readFile(file))]) {
      const reads = await Promise.all([0, 1, 2, 3, 4, 5].map((at) => bytes.read(at, 3)))
      reads.forEach((read, at) => {
        expect([...read]).toEqual([at, at + 1, at + 2])
      })
      expect(await failure(bytes.read(6, 3))).toMatch(
        /byte 6: found the end of the file at byte 8, expected 3 bytes/,
      )
      expect(await failure(bytes.read(2 ** 50, 2 ** 50))).toMatch(/found the end/)
    }
    const before = await openBytes(file)
    await writeFile(file, Buffer.from([0, 1]))
    expect(await failure(before.read(0, 8))).toMatch(
      /byte 2: found the end of the file, expected 8 bytes in all/,
    )
    expect(await failure(openBytes(folder))).toMatch(/is not a file/)
    expect(await failure(openBytes(path.join(folder, 'none')))).toMatch(/does not exist/)
  })
})

describe('a manifest', () => {
  const written = async (lines: readonly string[]): Promise<string> => {
    const folder = await temporaryFolder()
    await writeFiles(folder, { 'a.png': await goldenPng(0), 'sub/b.png': await goldenPng(1) })
    await writeFiles(folder, { 'list.jsonl': lines.join('\r\n') })
    return path.join(folder, 'list.jsonl')
  }

  test('takes what lines can be used and names the others', async () => {
    const list = await written([
      '\uFEFF{"file_name": "a.png", "label": "cat"}',
      '',
      '{"path": "./sub/b.png", "target": "7", "prompt": " two  words "}',
      '{"file_name": "a.png", "label": "dog"}',
      '{"file_name": "../secret.png", "label": 1}',
      '{"file_name": "/etc/passwd"}',
      '{"caption": "nothing"}',
      '"a.png"',
      '{"file_name": "gone.png", "label": "cat"}',
      '{"file_name": "a.p',
    ])
    const split = await open('manifest', list)
    expect(images(split)).toEqual([
      { id: 'list.jsonl/./sub/b.png', label: '7', caption: 'two words' },
      { id: 'list.jsonl/a.png', label: 'cat', caption: '' },
    ])
    expect(split.skipped.map(({ file, reason }) => `${file} ${reason}`)).toEqual([
      'list.jsonl/a.png is listed twice',
      'list.jsonl/../secret.png lies outside the folder',
      'list.jsonl//etc/passwd lies outside the folder',
      'list.jsonl:7 names no file (file_name, file, path, image)',
      'list.jsonl:8 is no object of JSON',
      'list.jsonl:10 is no JSON',
      expect.stringMatching(/^list\.jsonl\/gone\.png .+/),
    ])
  })

  test('without one such line says what it found first', async () => {
    expect(await failure(open('manifest', await written(['nothing', '{}'])))).toMatch(
      /list\.jsonl: found no line that names an image \(first: list\.jsonl:1 is no JSON\), expected objects with file_name; pass another list$/,
    )
    expect(await failure(open('manifest', await written([])))).toMatch(
      /found no line that names an image, expected/,
    )
  })

  test('is read again when an image of it changes', async () => {
    const list = await written(['{"file_name": "a.png"}', '{"file_name": "sub/b.png"}'])
    const before = await open('manifest', list)
    await writeFile(path.join(path.dirname(list), 'a.png'), await goldenPng(5))
    const after = await open('manifest', list)
    expect(after.train.fingerprint).not.toBe(before.train.fingerprint)
  })
})
