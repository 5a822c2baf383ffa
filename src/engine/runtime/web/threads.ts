/** @file How many threads a page may compute with. */

/** What a page says of itself. */
export interface Page {
  /** Whether its threads may share memory (https://developer.mozilla.org/docs/Web/API/Window/crossOriginIsolated). */
  readonly isIsolated: boolean
  readonly cores: number
}

/** Threads, and what a person should know of them; null where nothing. */
export const threadsFor = (
  { isIsolated, cores }: Page,
  asked: number | undefined,
): { readonly threads: number; readonly said: string | null } => {
  if (asked !== undefined && !(Number.isInteger(asked) && asked > 0))
    throw new Error(
      `runtime: threads is ${asked}, expected a whole number above 0; leave it out for all cores`,
    )
  const wanted = asked ?? cores
  if (isIsolated || wanted === 1) return { threads: wanted, said: null }
  return {
    threads: 1,
    said: `One thread of ${wanted}: this page is not cross-origin isolated; its server must send the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.`,
  }
}
