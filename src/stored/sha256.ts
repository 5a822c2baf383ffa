/**
 * @file SHA-256 (FIPS 180-4) of bytes at once: by Node where there is one, in TypeScript elsewhere. Pages have their own, but
 * only as a promise and only where they are served securely.
 */

const roundCount = 64

const primes = (count: number): number[] => {
  const found: number[] = []
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p !== 0)) found.push(n)
  return found
}

/** The first 32 bits behind the point (section 4.2.2). */
const fraction = (x: number): number => Math.floor((x - Math.floor(x)) * 2 ** 32)

const constants = Int32Array.from(primes(roundCount), (p) => fraction(Math.cbrt(p)))
const initial = Int32Array.from(primes(8), (p) => fraction(Math.sqrt(p)))

const rotate = (x: number, by: number): number => (x >>> by) | (x << (32 - by))

/** The message schedule W_t of a block (section 6.2.2, step 1). */
const schedule = (block: DataView, at: number, w: Int32Array): void => {
  for (let t = 0; t < 16; t++) w[t] = block.getInt32(at + 4 * t)
  for (let t = 16; t < roundCount; t++) {
    const [x, y] = [w[t - 15], w[t - 2]]
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10)
    w[t] = (w[t - 16] + s0 + w[t - 7] + s1) | 0
  }
}

/** Takes a block into the hash value (section 6.2.2, steps 2 to 4). */
const compress = (hash: Int32Array, w: Int32Array): void => {
  let [a, b, c, d, e, f, g, h] = hash
  for (let t = 0; t < roundCount; t++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + constants[t] + w[t]) | 0
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  const next = [a, b, c, d, e, f, g, h]
  for (let i = 0; i < 8; i++) hash[i] = (hash[i] + next[i]) | 0
}

/** SHA-256 in TypeScript, as hexadecimal digits. */
export const portableSha256 = (parts: readonly Uint8Array[]): string => {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  // A one, zeros, and the length in bits in the last 8 bytes of a block (section 5.1.1).
  const padded = new Uint8Array(Math.ceil((length + 9) / 64) * 64)
  let end = 0
  for (const part of parts) {
    padded.set(part, end)
    end += part.length
  }
  padded[end] = 0x80
  const view = new DataView(padded.buffer)
  view.setBigUint64(padded.length - 8, BigInt(length) * 8n)
  const [hash, w] = [initial.slice(), new Int32Array(roundCount)]
  for (let at = 0; at < padded.length; at += 64) {
    schedule(view, at, w)
    compress(hash, w)
  }
  return Array.from(hash, (word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
}

/** Node's, at 1.8 GB/s; asked for in this way so that no page has to find a module that it cannot have. */
const native = globalThis.process?.getBuiltinModule?.('node:crypto')

/** SHA-256 of bytes and of texts in UTF-8, one after the other, as hexadecimal digits. */
export const sha256 = (...parts: readonly (string | Uint8Array)[]): string => {
  if (native !== undefined) {
    const hash = native.createHash('sha256')
    for (const part of parts) hash.update(part)
    return hash.digest('hex')
  }
  return portableSha256(
    parts.map((part) => (typeof part === 'string' ? new TextEncoder().encode(part) : part)),
  )
}
