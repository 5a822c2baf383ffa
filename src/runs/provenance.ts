/** @file Who measured a run: the code, when, and on which machine. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

/** Where figures come from; null where that is not known. */
export interface Provenance {
  /** Commit of the code, or a range of commits as git writes it. */
  readonly commit: string | null
  /** Version of the package. */
  readonly version: string | null
  /** Date and time, or an interval of dates, by ISO 8601. */
  readonly date: string | null
  readonly machine: { readonly cpu: string; readonly device: string } | null
}

/** By the file that it is about. */
export interface Provenances {
  readonly evaluation?: Provenance
  readonly quality?: Provenance
}

const manifest = z.looseObject({ name: z.string(), version: z.string() })

/** The package's own directory and version, above this file wherever it was bundled to; null when it is not there. */
export const ownPackage = (): { readonly dir: string; readonly version: string } | null => {
  const start = dirname(fileURLToPath(import.meta.url))
  for (let dir = start; ; dir = dirname(dir)) {
    const file = join(dir, 'package.json')
    if (existsSync(file)) {
      const found = manifest.safeParse(JSON.parse(readFileSync(file, 'utf8')))
      if (found.success && found.data.name === 'unified-latents') return { dir, version: found.data.version }
    }
    if (dir === dirname(dir)) return null
  }
}

/** UL_COMMIT, or the commit that the package's own checkout is at, or null. */
const commitOf = (dir: string | undefined): string | null => {
  const given = process.env.UL_COMMIT
  if (given !== undefined && given !== '') return given
  // A package below another project's checkout would name that project's commit.
  if (dir === undefined || !existsSync(join(dir, '.git'))) return null
  try {
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore']
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: dir, encoding: 'utf8', stdio }).trim()
  } catch {
    return null // without git
  }
}

/** The provenance of figures that this process measures now. @param device where the runtime computes */
export const provenanceNow = (device: string): Provenance => {
  const own = ownPackage()
  return {
    commit: commitOf(own?.dir),
    version: own?.version ?? null,
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model.trim() ?? 'unknown', device },
  }
}

/** A provenance in words, to the day; empty when nothing of it is known. */
export const provenanceText = ({ commit, version, date, machine }: Provenance): string =>
  [
    ...(version === null ? [] : [`version ${version}`]),
    ...(commit === null ? [] : [`code of ${commit}`]),
    ...(date === null ? [] : [date.replaceAll(/T[\d:.]+Z/g, '')]),
    ...(machine === null ? [] : [`${machine.cpu}, ${machine.device}`]),
  ].join('; ')
