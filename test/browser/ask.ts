/** @file Jobs of the page of the tests, asked for from outside. */
import type { WatchedPage } from './browser.ts'
import type { Jobs } from './page.ts'

/** Asks a page for a job. */
export const ask = <K extends keyof Jobs>(
  { page }: WatchedPage,
  job: K,
  ...given: Parameters<Jobs[K]>
): Promise<Awaited<ReturnType<Jobs[K]>>> =>
  page.evaluate(`jobs.${job}(${given.map((x) => JSON.stringify(x))})`)
