/** @file SHA-256 (FIPS 180-4) where no platform's own is at hand at once: a browser's answers later, and to whole texts only. */

/** What takes a message piece by piece; Node's own hashes are of this form. */
export interface Hash {
  update(part: string | Uint8Array): Hash
  digest(form: 'hex'): string
}

/** The first 32 bits of the fractional parts of a root of the first primes. */
const fractions = (count: number, root: (prime: number) => number): Uint32Array => {
  const primes: number[] = []
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n)
  return Uint32Array.from(primes, (prime) => (root(prime) % 1) * 2 ** 32)
}

const K = fractions(64, Math.cbrt)
const initial = fractions(8, Math.sqrt)

/** Bytes of a block, and where in the last one the length stands. */
const [blockBytes, lengthAt] = [64, 56]

const rotated = (x: number, by: number): number => (x >>> by) | (x << (32 - by))

/** One round after the other on a block of 16 words; `w` has room for 64. */
const compress = (state: Uint32Array, block: DataView, at: number, w: Int32Array): void => {
  for (let t = 0; t < 16; t++) w[t] = block.getInt32(at + 4 * t)
  for (let t = 16; t < 64; t++) {
    const [x, y] = [w[t - 15], w[t - 2]]
    const s0 = rotated(x, 7) ^ rotated(x, 18) ^ (x >>> 3)
    const s1 = rotated(y, 17) ^ rotated(y, 19) ^ (y >>> 10)
    w[t] = (w[t - 16] + s0 + w[t - 7] + s1) | 0
  }
  let [a, b, c, d, e, f, g, h] = state
  for (let t = 0; t < 64; t++) {
    const S1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)
    const t1 = (h + S1 + ((e & f) ^ (~e & g)) + K[t] + w[t]) | 0
    const S0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)
    const t2 = (S0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  for (const [i, word] of [a, b, c, d, e, f, g, h].entries()) state[i] += word
}

const utf8 = new TextEncoder()

/** A hash of nothing yet. */
export const sha256 = (): Hash => {
  const state = initial.slice()
  const w = new Int32Array(64)
  const rest = new Uint8Array(blockBytes)
  const restView = new DataView(rest.buffer)
  let total = 0
  const add = (bytes: Uint8Array): void => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    const held = total % blockBytes
    total += bytes.length
    if (held > 0) {
      at = Math.min(blockBytes - held, bytes.length)
      rest.set(bytes.subarray(0, at), held)
      if (held + at < blockBytes) return
      compress(state, restView, 0, w)
    }
    for (; at + blockBytes <= bytes.length; at += blockBytes) compress(state, view, at, w)
    rest.set(bytes.subarray(at))
  }
  const hash: Hash = {
    update: (part) => {
      add(typeof part === 'string' ? utf8.encode(part) : part)
      return hash
    },
    digest: () => {
      const bits = BigInt(total) * 8n
      const held = total % blockBytes
      const padding = new Uint8Array((held < lengthAt ? lengthAt : lengthAt + blockBytes) - held + 8)
      padding[0] = 0x80
      new DataView(padding.buffer).setBigUint64(padding.length - 8, bits)
      add(padding)
      return [...state].map((word) => word.toString(16).padStart(8, '0')).join('')
    },
  }
  return hash
}
