/**
 * @file The dense float64 linear algebra of the feature metrics: products with a transpose, a factor of a covariance,
 * eigenvalues of a symmetric matrix. Matrices are row-major.
 *
 * Written here because a Fréchet distance needs eigenvalues only, never eigenvectors, and a library computes both: for
 * one distance ml-matrix 6.15 would take about 10 s at 768 dimensions and 200 s at 2048, this file 1.3 and 24 s (one core).
 */

/** Columns that a scalar product sums before it adds to its total: panels of so many stay in the second-level cache. */
export const panel = 256

/**
 * a·bᵀ. Every element is summed in the same order, so that exchanging rows exchanges results to the last bit.
 * @param a [m, k] @param b [n, k] @param out [m, n], overwritten @returns out
 */
export const productWithTranspose = (
  a: Float64Array,
  b: Float64Array,
  m: number,
  n: number,
  k: number,
  out: Float64Array = new Float64Array(m * n),
): Float64Array => {
  out.fill(0, 0, m * n)
  for (let start = 0; start < k; start += panel) {
    const end = Math.min(k, start + panel)
    for (let i = 0; i < m; i += 2) addRowPair(a, b, i, Math.min(i + 1, m - 1), n, k, start, end, out)
  }
  return out
}

/** Adds one panel's share to rows r0 and r1 of the product (the same row twice at an odd end). */
const addRowPair = (
  a: Float64Array,
  b: Float64Array,
  r0: number,
  r1: number,
  n: number,
  k: number,
  start: number,
  end: number,
  out: Float64Array,
): void => {
  const length = end - start
  const a0 = r0 * k + start
  const a1 = r1 * k + start
  let j = 0
  for (; j + 4 <= n; j += 4) {
    const b0 = j * k + start
    const b1 = b0 + k
    const b2 = b1 + k
    const b3 = b2 + k
    let [s00, s01, s02, s03, s10, s11, s12, s13] = [0, 0, 0, 0, 0, 0, 0, 0]
    for (let p = 0; p < length; p++) {
      const x0 = a[a0 + p]
      const x1 = a[a1 + p]
      const y0 = b[b0 + p]
      const y1 = b[b1 + p]
      const y2 = b[b2 + p]
      const y3 = b[b3 + p]
      s00 += x0 * y0
      s01 += x0 * y1
      s02 += x0 * y2
      s03 += x0 * y3
      s10 += x1 * y0
      s11 += x1 * y1
      s12 += x1 * y2
      s13 += x1 * y3
    }
    const o0 = r0 * n + j
    out[o0] += s00
    out[o0 + 1] += s01
    out[o0 + 2] += s02
    out[o0 + 3] += s03
    if (r1 === r0) continue
    const o1 = r1 * n + j
    out[o1] += s10
    out[o1 + 1] += s11
    out[o1 + 2] += s12
    out[o1 + 3] += s13
  }
  for (; j < n; j++) {
    const b0 = j * k + start
    let [s0, s1] = [0, 0]
    for (let p = 0; p < length; p++) {
      s0 += a[a0 + p] * b[b0 + p]
      s1 += a[a1 + p] * b[b0 + p]
    }
    out[r0 * n + j] += s0
    if (r1 !== r0) out[r1 * n + j] += s1
  }
}

/** The transpose of [rows, columns]. */
export const transpose = (matrix: Float64Array, rows: number, columns: number): Float64Array => {
  const out = new Float64Array(rows * columns)
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = matrix[i * columns + j]
  }
  return out
}

/**
 * F with Fᵀ·F = S for a symmetric positive semidefinite S, by Cholesky with complete pivoting, stopped where only
 * rounding is left; so a covariance of few samples gives few rows (Higham 2002, section 10.3).
 * @param matrix S, [n, n]
 * @returns F, [rank, n]
 */
export const positiveFactor = (
  matrix: Float64Array,
  n: number,
): { readonly factor: Float64Array; readonly rank: number } => {
  const rest = Float64Array.from({ length: n }, (_, i) => matrix[i * n + i]) // the diagonal that is left to explain
  const tolerance = n * Number.EPSILON * Math.max(0, ...rest)
  const factor = new Float64Array(n * n)
  const row = new Float64Array(n)
  for (let rank = 0; rank < n; rank++) {
    let pivot = 0
    for (let i = 1; i < n; i++) if (rest[i] > rest[pivot]) pivot = i
    if (!(rest[pivot] > tolerance)) return { factor: factor.slice(0, rank * n), rank }
    row.set(matrix.subarray(pivot * n, (pivot + 1) * n))
    for (let r = 0; r < rank; r++) {
      const share = factor[r * n + pivot]
      const at = r * n
      for (let i = 0; i < n; i++) row[i] -= share * factor[at + i]
    }
    const scale = 1 / Math.sqrt(rest[pivot])
    for (let i = 0; i < n; i++) {
      // Pivots that were taken are explained in full; what rounding leaves there must not enter again.
      const value = rest[i] === Number.NEGATIVE_INFINITY ? 0 : row[i] * scale
      factor[rank * n + i] = value
      rest[i] -= value * value
    }
    factor[rank * n + pivot] = 1 / scale
    rest[pivot] = Number.NEGATIVE_INFINITY
  }
  return { factor, rank: n }
}

/**
 * Eigenvalues of a symmetric matrix, ascending, each to about machine precision of the largest: Householder's
 * tridiagonal form, then implicit QR steps with Wilkinson's shift (Golub & Van Loan 2013, algorithms 8.3.1 and 8.3.3).
 * @param matrix [n, n]; its lower triangle is read
 * @throws when the iteration does not converge, which takes a matrix that is not finite
 */
export const symmetricEigenvalues = (matrix: Float64Array, n: number): Float64Array => {
  const { diagonal, beside } = tridiagonal(matrix.slice(0, n * n), n)
  return tridiagonalEigenvalues(diagonal, beside).sort()
}

interface Tridiagonal {
  readonly diagonal: Float64Array
  readonly beside: Float64Array
}

/** Reduces the lower triangle of `a`, which is overwritten, by reflections H = I − β·v·vᵀ from the left and right. */
const tridiagonal = (a: Float64Array, n: number): Tridiagonal => {
  const diagonal = new Float64Array(n)
  const beside = new Float64Array(Math.max(0, n - 1))
  const v = new Float64Array(n)
  const w = new Float64Array(n)
  for (let k = 0; k < n - 1; k++) {
    diagonal[k] = a[k * n + k]
    const first = k + 1
    let square = 0
    for (let i = first; i < n; i++) {
      v[i] = a[i * n + k]
      square += v[i] ** 2
    }
    const head = v[first]
    const length = head > 0 ? -Math.sqrt(square) : Math.sqrt(square)
    beside[k] = length
    v[first] = head - length
    const beta = -1 / (length * v[first]) // 2 / vᵀv
    if (!Number.isFinite(beta)) continue // a column of zeros needs no reflection
    w.fill(0)
    for (let i = first; i < n; i++) {
      const at = i * n
      const vi = v[i]
      let sum = 0
      for (let j = first; j < i; j++) {
        sum += a[at + j] * v[j]
        w[j] += a[at + j] * vi
      }
      w[i] += sum + a[at + i] * vi
    }
    let overlap = 0
    for (let i = first; i < n; i++) {
      w[i] *= beta
      overlap += w[i] * v[i]
    }
    for (let i = first; i < n; i++) w[i] -= ((beta * overlap) / 2) * v[i]
    for (let i = first; i < n; i++) {
      const at = i * n
      const [vi, wi] = [v[i], w[i]]
      for (let j = first; j <= i; j++) a[at + j] -= vi * w[j] + wi * v[j]
    }
  }
  diagonal[n - 1] = a[n * n - 1]
  return { diagonal, beside }
}

/** One implicit QR step on the block from `low` to `high`. */
const qrStep = (d: Float64Array, e: Float64Array, low: number, high: number): void => {
  const half = (d[high - 1] - d[high]) / 2
  const last = e[high - 1]
  const root = Math.sqrt(half * half + last * last)
  const shift = d[high] - (last * last) / (half + (half < 0 ? -root : root))
  let x = d[low] - shift
  let z = e[low]
  for (let k = low; k < high; k++) {
    const r = Math.sqrt(x * x + z * z)
    const c = r === 0 ? 1 : x / r
    const s = r === 0 ? 0 : z / r
    if (k > low) e[k - 1] = r
    const [d0, d1, between] = [d[k], d[k + 1], e[k]]
    d[k] = c * c * d0 + 2 * c * s * between + s * s * d1
    d[k + 1] = s * s * d0 - 2 * c * s * between + c * c * d1
    e[k] = c * s * (d1 - d0) + (c * c - s * s) * between
    if (k === high - 1) break
    x = e[k]
    z = s * e[k + 1]
    e[k + 1] *= c
  }
}

const tridiagonalEigenvalues = (d: Float64Array, e: Float64Array): Float64Array => {
  const n = d.length
  let largest = 0
  for (const v of d) largest = Math.max(largest, Math.abs(v))
  for (const v of e) largest = Math.max(largest, Math.abs(v))
  const negligible = Number.EPSILON * largest
  let steps = 0
  for (let high = n - 1; high > 0; ) {
    if (Math.abs(e[high - 1]) <= negligible) {
      high--
      continue
    }
    let low = high - 1
    while (low > 0 && Math.abs(e[low - 1]) > negligible) low--
    if (++steps > 60 * n) {
      throw new Error(`eigenvalues: no convergence for ${n}×${n}; is every element finite?`)
    }
    qrStep(d, e, low, high)
  }
  return d
}
