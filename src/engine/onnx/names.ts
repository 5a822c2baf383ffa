/** @file Names in a model: each once, the first of a kind plain and the others numbered. */

/** The names that are taken. */
export class Names {
  readonly #taken: Set<string>
  readonly #next = new Map<string, number>()

  constructor(taken: Iterable<string>) {
    this.#taken = new Set(taken)
  }

  /** Takes the wanted name, or the first of `wanted_1`, `wanted_2` … that is free. */
  unique(wanted: string): string {
    let name = wanted
    for (let i = this.#next.get(wanted) ?? 1; this.#taken.has(name); i++) {
      name = `${wanted}_${i}`
      this.#next.set(wanted, i + 1)
    }
    this.#taken.add(name)
    return name
  }
}
