/** @file Bytes changed as damage, and as malice, changes them. */
import fc from 'fast-check'

/** One change to bytes. */
type Mutation = (bytes: Buffer) => Buffer

/** A place: anywhere, or near either end, where what a file says of itself lies. */
const place = fc.record({
  share: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  near: fc.constantFrom('anywhere', 'begin', 'end'),
})
type Place = typeof place extends fc.Arbitrary<infer T> ? T : never

const edge = 512

const positionIn = (length: number, { share, near }: Place): number => {
  const room = near === 'anywhere' ? length : Math.min(edge, length)
  const at = Math.floor(share * room)
  return near === 'end' ? length - 1 - at : at
}

/** Numbers at which counts and lengths go wrong. */
const telling = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
]

const numberBytes = (value: bigint, width: number, big: boolean): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value))
  const own = bytes.subarray(0, width)
  return big ? Buffer.from(own).reverse() : own
}

const overwritten = (bytes: Buffer, at: number, own: Uint8Array): Buffer => {
  const out = Buffer.from(bytes)
  out.set(own.subarray(0, Math.max(0, out.length - at)), at)
  return out
}

const inserted = (bytes: Buffer, at: number, own: Uint8Array): Buffer =>
  Buffer.concat([bytes.subarray(0, at), own, bytes.subarray(at)])

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(place, fc.nat(7)).map(
    ([where, bit]): Mutation =>
      (bytes) => {
        const at = positionIn(bytes.length, where)
        return overwritten(bytes, at, Uint8Array.of((bytes[at] ?? 0) ^ (1 << bit)))
      },
  ),
  fc.tuple(place, fc.constantFrom(...telling), fc.constantFrom(1, 2, 4, 8), fc.boolean()).map(
    ([where, value, width, big]): Mutation =>
      (bytes) =>
        overwritten(bytes, positionIn(bytes.length, where), numberBytes(value, width, big)),
  ),
  fc.tuple(place, fc.uint8Array({ maxLength: 64 })).map(
    ([where, own]): Mutation =>
      (bytes) =>
        overwritten(bytes, positionIn(bytes.length, where), own),
  ),
  fc.tuple(place, fc.uint8Array({ maxLength: 64 })).map(
    ([where, own]): Mutation =>
      (bytes) =>
        inserted(bytes, positionIn(bytes.length, where), own),
  ),
  place.map(
    (where): Mutation =>
      (bytes) =>
        bytes.subarray(0, positionIn(bytes.length, where)),
  ),
  fc.tuple(place, place).map(
    ([a, b]): Mutation =>
      (bytes) => {
        const [from, to] = [positionIn(bytes.length, a), positionIn(bytes.length, b)].sort((x, y) => x - y)
        return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])
      },
  ),
  fc.tuple(place, place, fc.nat(3)).map(
    ([a, b, times]): Mutation =>
      (bytes) => {
        const [from, to] = [positionIn(bytes.length, a), positionIn(bytes.length, b)].sort((x, y) => x - y)
        const piece = bytes.subarray(from, Math.min(to, from + 4096))
        return inserted(bytes, from, Buffer.concat(Array.from({ length: times }, () => piece)))
      },
  ),
)

/** Up to four changes, one after the other. */
export const mutations: fc.Arbitrary<Mutation> = fc.array(mutation, { minLength: 1, maxLength: 4 }).map(
  (list): Mutation =>
    (bytes) =>
      list.reduce((now, change) => (now.length === 0 ? now : change(now)), bytes),
)
