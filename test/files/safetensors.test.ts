import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesPerElement, float32, type HostTensor, scalar, sizeOf } from '../../src/engine/host/tensor.ts'
import {
  inspectSafetensors,
  readRows,
  readSafetensors,
  writeSafetensors,
  writeSafetensorsRows,
} from '../../src/files/safetensors.ts'

const path = join(mkdtempSync(join(tmpdir(), 'safetensors-')), 'x.safetensors')

/** A file from parts, as another program would write it. */
const write = (header: string | object, data: Uint8Array = new Uint8Array(0)): void => {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  writeFileSync(path, Buffer.concat([length, json, data]))
}

const fromBytes = (dtype: HostTensor['dtype'], shape: readonly number[], bytes: Uint8Array): HostTensor => {
  const buffer = bytes.slice().buffer
  const views = {
    float32: Float32Array,
    float16: Uint16Array,
    int32: Int32Array,
    int64: BigInt64Array,
    bool: Uint8Array,
  }
  return { dtype, shape, data: new views[dtype](buffer) }
}

const bytesOf = ({ data }: HostTensor): number[] => [
  ...new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
]

const anyTensor = fc
  .record({
    dtype: fc.constantFrom('float32', 'float16', 'int32', 'int64', 'bool'),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
  })
  .chain(({ dtype, shape }) => {
    const length = sizeOf(shape) * bytesPerElement[dtype]
    return fc
      .uint8Array({ minLength: length, maxLength: length })
      .map((bytes) => fromBytes(dtype, shape, bytes))
  })

const anyName = fc.oneof(fc.string(), fc.constantFrom('__proto__', '10', '9', 'layer.0.weight', 'ü"\\'))

test('round trip of any tensors, bit by bit, and every tensor is aligned in the file', () => {
  const named = fc.uniqueArray(fc.tuple(anyName, anyTensor), { selector: ([name]) => name, maxLength: 6 })
  const metadata = fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 })
  fc.assert(
    fc.property(named, metadata, (list, notes) => {
      writeSafetensors(path, Object.fromEntries(list), notes)
      const back = readSafetensors(path)
      expect(Object.entries(back.metadata).sort()).toEqual(Object.entries(notes).sort())
      expect(Object.keys(back.tensors).length).toBe(list.length)
      for (const [name, tensor] of list) {
        const found = Object.getOwnPropertyDescriptor(back.tensors, name)?.value as HostTensor
        expect([found.dtype, found.shape]).toEqual([tensor.dtype, tensor.shape])
        expect(found.data.constructor).toBe(tensor.data.constructor)
        expect(bytesOf(found)).toEqual(bytesOf(tensor))
      }
      const { entries, dataStart } = inspectSafetensors(path)
      expect(dataStart % 8).toBe(0)
      for (const { dtype, begin } of entries.values()) expect(begin % bytesPerElement[dtype]).toBe(0)
    }),
    { numRuns: 60 },
  )
})

test('golden bytes: header by name and padded to 8, widest elements first', () => {
  writeSafetensors(
    path,
    {
      b: scalar(1.5),
      a: { dtype: 'bool', shape: [2], data: Uint8Array.of(1, 0) },
      c: { dtype: 'int64', shape: [1], data: BigInt64Array.of(-2n) },
      d: float32([0, 3], []),
    },
    { format: 'ul' },
  )
  const json =
    '{"__metadata__":{"format":"ul"},"a":{"dtype":"BOOL","shape":[2],"data_offsets":[12,14]},' +
    '"b":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"c":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},' +
    '"d":{"dtype":"F32","shape":[0,3],"data_offsets":[12,12]}}'
  const padded = json.padEnd(Math.ceil(json.length / 8) * 8)
  const bytes = readFileSync(path)
  expect(Number(bytes.readBigUInt64LE())).toBe(padded.length)
  expect(bytes.subarray(8, 8 + padded.length).toString()).toBe(padded)
  expect(bytes.subarray(8 + padded.length).toString('hex')).toBe('feffffffffffffff0000c03f0100')
})

test('tensors that are not wanted are not read', () => {
  const tensors = { 'ema/w': float32([2], [1, 2]), 'param/w': float32([2], [3, 4]), emaless: scalar(5) }
  writeSafetensors(path, tensors, { format: 'ul' })
  const read = readSafetensors(path, (name) => name.startsWith('ema/'))
  expect(read).toEqual({ tensors: { 'ema/w': tensors['ema/w'] }, metadata: { format: 'ul' } })
})

test('views with an offset, and a file without tensors', () => {
  const whole = Float32Array.of(0, 1, 2, 3)
  writeSafetensors(path, { tail: { dtype: 'float32', shape: [2], data: whole.subarray(2) } })
  expect([...readSafetensors(path).tensors.tail.data]).toEqual([2, 3])
  writeSafetensors(path, {})
  expect(readSafetensors(path)).toEqual({ tensors: {}, metadata: {} })
})

test('tensors in file order differing from name order, without padding, as other writers make them', () => {
  const entry = (begin: number): object => ({ dtype: 'I32', shape: [1], data_offsets: [begin, begin + 4] })
  write({ a: entry(4), b: entry(0) }, Uint8Array.of(7, 0, 0, 0, 9, 0, 0, 0))
  const { tensors } = readSafetensors(path)
  expect([tensors.a.data[0], tensors.b.data[0]]).toEqual([9, 7])
})

test('the writer refuses arrays that do not fit', () => {
  const wrong =
    (tensor: HostTensor): (() => void) =>
    () =>
      writeSafetensors(path, { w: tensor })
  expect(wrong({ dtype: 'float32', shape: [3], data: new Float32Array(2) })).toThrow(
    'tensor "w" has 2 elements of Float32Array for float32 [3]',
  )
  expect(wrong({ dtype: 'int32', shape: [2], data: new Float32Array(2) })).toThrow(
    '2 elements of Float32Array',
  )
  expect(() => writeSafetensors(path, { __metadata__: scalar(0) })).toThrow('not a possible tensor name')
})

describe('a malformed file is one sentence with file, tensor and byte', () => {
  const f32 = (begin: number, end: number, shape: readonly unknown[] = [1], dtype = 'F32'): object => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  })
  const cases: readonly [string, () => void, string][] = [
    ['empty', () => writeFileSync(path, ''), 'truncated at byte 0'],
    ['short length', () => writeFileSync(path, '1234567'), 'truncated at byte 7'],
    [
      'length over the limit',
      () => writeFileSync(path, Buffer.alloc(64, 0xff)),
      'this is not a safetensors file: header length 18446744073709551615 at byte 0 is over 100000000',
    ],
    [
      'length beyond the file',
      () => writeFileSync(path, Buffer.concat([Buffer.from([99, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{}')])),
      'truncated at byte 10, inside the header of 99 bytes',
    ],
    ['no JSON', () => write('{"a":'), 'header at byte 8 is not valid JSON'],
    [
      'no UTF-8',
      () => writeFileSync(path, Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe])),
      'not valid JSON',
    ],
    ['an array', () => write('[]'), 'header at byte 8 is not a JSON object'],
    [
      'metadata of numbers',
      () => write({ __metadata__: { a: 1 } }),
      '"__metadata__" in the header at byte 8',
    ],
    ['unknown dtype', () => write({ w: f32(0, 2, [1], 'Q4') }), 'tensor "w" has unknown dtype "Q4"'],
    [
      'size of a type of other programs',
      () => write({ w: f32(0, 3, [1], 'BF16') }, new Uint8Array(3)),
      'has 3 bytes, but BF16 [1] takes 2',
    ],
    ['entry is null', () => write({ w: null }), 'tensor "w" has unknown dtype undefined'],
    ['negative size', () => write({ w: f32(0, 4, [-1]) }), 'tensor "w" has invalid shape [-1]'],
    ['fractional size', () => write({ w: f32(0, 4, [0.5]) }), 'tensor "w" has invalid shape [0.5]'],
    ['offsets of text', () => write({ w: { ...f32(0, 4), data_offsets: ['0', 4] } }), 'invalid data_offsets'],
    [
      'shape × dtype',
      () => write({ w: f32(0, 4, [2]) }, new Uint8Array(4)),
      'tensor "w" at byte 62 has 4 bytes, but F32 [2] takes 8',
    ],
    [
      'reversed offsets',
      () => write({ w: f32(4, 0) }, new Uint8Array(4)),
      'tensor "w" at byte 66 has -4 bytes',
    ],
    [
      'out of range',
      () => write({ w: f32(0, 4) }, new Uint8Array(3)),
      'tensor "w" at byte 62 ends at byte 66, after the end of the file',
    ],
    [
      'overlap',
      () => write({ a: f32(0, 8, [2]), b: f32(4, 8) }, new Uint8Array(8)),
      'tensor "b" at byte 119 overlaps the tensor that ends at byte 123',
    ],
    [
      'gap',
      () => write({ a: f32(0, 4), b: f32(8, 12) }, new Uint8Array(12)),
      'tensor "b" at byte 124 leaves a gap after byte 120',
    ],
    ['gap at the start', () => write({ a: f32(4, 8) }, new Uint8Array(8)), 'leaves a gap after byte 62'],
    ['rest', () => write({ a: f32(0, 4) }, new Uint8Array(6)), '2 bytes from byte 66 on belong to no tensor'],
  ]
  test.each(cases)('%s', (_, corrupt, message) => {
    corrupt()
    expect(() => readSafetensors(path)).toThrow(message)
    expect(() => inspectSafetensors(path)).toThrow(path)
  })

  test('every shorter version of a good file', () => {
    writeSafetensors(path, { a: float32([2], [1, 2]), b: scalar(3) })
    const good = readFileSync(path)
    for (let length = 0; length < good.length; length++) {
      writeFileSync(path, good.subarray(0, length))
      expect(() => readSafetensors(path)).toThrow(path)
    }
  })
})

describe('rows at a time', () => {
  const tensors = {
    b: float32([5, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    a: float32([5], [10, 11, 12, 13, 14]),
  }

  test('give the file that all together give, and are read again', async () => {
    writeSafetensors(path, tensors, { x: 'y' })
    const together = readFileSync(path)
    await writeSafetensorsRows(path, tensors, { x: 'y' }, async (write) => {
      write('a', 3, float32([2], [13, 14]))
      write('b', 0, float32([4, 2], [0, 1, 2, 3, 4, 5, 6, 7]))
      write('a', 0, float32([3], [10, 11, 12]))
      write('b', 4, float32([1, 2], [8, 9]))
    })
    expect(readFileSync(path).equals(together)).toBe(true)
    const rows = readRows(path, inspectSafetensors(path), 'b', { first: 1, n: 3 })
    expect(rows).toEqual(float32([3, 2], [2, 3, 4, 5, 6, 7]))
    expect(() => readRows(path, inspectSafetensors(path), 'b', { first: 3, n: 3 })).toThrow(
      `${path}: there are no rows 3 to 5 of a tensor "b"`,
    )
  })

  test('of another size, or that fail, leave the old file and no temporary one', async () => {
    writeSafetensors(path, tensors)
    const before = readFileSync(path)
    const wrong = writeSafetensorsRows(path, tensors, {}, async (write) =>
      write('b', 0, float32([2], [1, 2])),
    )
    await expect(wrong).rejects.toThrow(
      `${path}: rows of tensor "b" are float32 [2]; they belong to float32 [5,2]`,
    )
    expect(readFileSync(path).equals(before)).toBe(true)
    expect(readdirSync(dirname(path))).toEqual(['x.safetensors'])
  })
})

describe('types of other programs', () => {
  test.each(['U8', 'I8', 'F8_E4M3', 'U16', 'BF16', 'U32', 'U64', 'F64'])(
    '%s is passed by, and not read as it is',
    (dtype) => {
      const size = { U8: 1, I8: 1, F8_E4M3: 1, U16: 2, BF16: 2, U32: 4, U64: 8, F64: 8 }[dtype]!
      const w = { dtype: 'F32', shape: [1], data_offsets: [0, 4] }
      write({ w, x: { dtype, shape: [3], data_offsets: [4, 4 + 3 * size] } }, new Uint8Array(4 + 3 * size))
      const { entries, foreign } = inspectSafetensors(path)
      expect([...entries.keys(), ...foreign.keys()]).toEqual(['w', 'x'])
      expect(readSafetensors(path, (name) => name === 'w').tensors.w).toEqual(float32([1], [0]))
      expect(() => readSafetensors(path)).toThrow(`tensor "x" has unknown dtype "${dtype}"`)
    },
  )

  test.each([
    ['F32', new Uint8Array(Float32Array.of(1.5, -2, 0.25, 3).buffer)],
    ['F64', new Uint8Array(Float64Array.of(1.5, -2, 0.25, 3).buffer)],
    ['F16', new Uint8Array(Uint16Array.of(0x3e00, 0xc000, 0x3400, 0x4200).buffer)],
    ['BF16', new Uint8Array(Uint16Array.of(0x3fc0, 0xc000, 0x3e80, 0x4040).buffer)],
  ])('rows of %s are read as float32', (dtype, bytes) => {
    write({ w: { dtype, shape: [2, 2], data_offsets: [0, bytes.length] } }, bytes)
    const header = inspectSafetensors(path)
    expect(readRows(path, header, 'w', { first: 0, n: 2 })).toEqual(float32([2, 2], [1.5, -2, 0.25, 3]))
    expect(readRows(path, header, 'w', { first: 1, n: 1 })).toEqual(float32([1, 2], [0.25, 3]))
  })
})
