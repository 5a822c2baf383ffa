/** @file Small NumPy files for the data tests. */
import { crc32 } from 'node:zlib'

/** A .npy of version 1. */
export const npy = (
  descr: string,
  shape: string,
  data: Uint8Array = new Uint8Array(0),
  fortran = 'False',
): Buffer => {
  const header = `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`
  const lead = Buffer.from([
    0x93,
    0x4e,
    0x55,
    0x4d,
    0x50,
    0x59,
    1,
    0,
    header.length & 255,
    header.length >> 8,
  ])
  return Buffer.concat([lead, Buffer.from(header, 'latin1'), data])
}

/** An .npz, not compressed, of .npy files by the names of their arrays. */
export const npz = (arrays: Readonly<Record<string, Uint8Array>>): Buffer => {
  const locals: Buffer[] = []
  const entries: Buffer[] = []
  let offset = 0
  for (const [key, data] of Object.entries(arrays)) {
    const name = Buffer.from(`${key}.npy`)
    const about = Buffer.alloc(16)
    about.writeUInt32LE(crc32(data), 0)
    about.writeUInt32LE(data.length, 4)
    about.writeUInt32LE(data.length, 8)
    about.writeUInt16LE(name.length, 12)
    const local = Buffer.concat([Buffer.from('504b03041400000000000000' + '0000', 'hex'), about, name, data])
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50)
    about.copy(entry, 16)
    entry.writeUInt32LE(offset, 42)
    locals.push(local)
    entries.push(Buffer.concat([entry, name]))
    offset += local.length
  }
  const directory = Buffer.concat(entries)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50)
  end.writeUInt16LE(entries.length, 8)
  end.writeUInt16LE(entries.length, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...locals, directory, end])
}
