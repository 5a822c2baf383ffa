/**
 * @file The memory that a library's arena takes for tensors that come and go. ONNX Runtime's (core/framework/bfc_arena.cc, after
 * TensorFlow's) asks the system for regions that double in size, cuts tensors out of the smallest free piece that holds them and
 * joins neighbours again. What was once written stays resident: where small tensors have taken the place of a large one, the next
 * large one gets a new place.
 */

/** A piece of a region. */
export interface Piece {
  readonly region: number
  readonly from: number
  readonly bytes: number
}

/** Sizes are whole multiples of this. */
const granule = 256
/** Bytes of the first region. */
const firstRegion = 2 ** 20
/** Regions do not double beyond this. */
const largestDoubling = 2 ** 30
/** A piece of less than twice what is asked for is given whole, unless so many bytes would lie idle. */
const mostIdle = 2 ** 27

/** An arena, empty at first. */
export class Arena {
  /** Bytes of each region that were ever given out: they stay resident. */
  readonly #used: number[] = []
  readonly #free = new Set<Piece>()
  #nextRegion = firstRegion

  /** Bytes that are resident. */
  get residentBytes(): number {
    return this.#used.reduce((sum, bytes) => sum + bytes, 0)
  }

  take(asked: number): Piece {
    const bytes = Math.max(1, Math.ceil(asked / granule)) * granule
    const found = this.#smallestOf(bytes) ?? this.#extend(bytes)
    this.#free.delete(found)
    const { region, from } = found
    const rest = found.bytes - bytes
    const isCut = rest >= bytes || rest >= mostIdle
    if (isCut) this.#free.add({ region, from: from + bytes, bytes: rest })
    this.#used[region] = Math.max(this.#used[region], from + bytes)
    return isCut ? { region, from, bytes } : found
  }

  giveBack({ region, from, bytes }: Piece): void {
    const neighbours = [...this.#free].filter(
      (other) =>
        other.region === region && (other.from + other.bytes === from || from + bytes === other.from),
    )
    for (const other of neighbours) this.#free.delete(other)
    const joined = neighbours.reduce((sum, other) => sum + other.bytes, bytes)
    this.#free.add({ region, from: Math.min(from, ...neighbours.map((other) => other.from)), bytes: joined })
  }

  #smallestOf(bytes: number): Piece | undefined {
    const order = (a: Piece, b: Piece): number => a.bytes - b.bytes || a.region - b.region || a.from - b.from
    let best: Piece | undefined
    for (const piece of this.#free)
      if (piece.bytes >= bytes && (best === undefined || order(piece, best) < 0)) best = piece
    return best
  }

  #extend(bytes: number): Piece {
    const doubled = this.#nextRegion < bytes
    while (this.#nextRegion < bytes) this.#nextRegion *= 2
    const piece = { region: this.#used.length, from: 0, bytes: this.#nextRegion }
    this.#used.push(0)
    if (!doubled) this.#nextRegion = Math.min(2 * this.#nextRegion, largestDoubling)
    return piece
  }
}
