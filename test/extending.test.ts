/** @file docs/extending.md: every commit that it cites touches those files of src and no others. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const git = (...args: readonly string[]): string =>
  execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })

/** Files that a commit touches; null where the history is not there, as in a package or a shallow copy. */
const touchedBy = (commit: string): string[] | null => {
  try {
    return git('show', '--name-only', '--format=', commit, '--', 'src').split('\n').filter(Boolean).sort()
  } catch {
    return null
  }
}

const rows = readFileSync('docs/extending.md', 'utf8')
  .split('\n')
  .flatMap((line) => {
    const [, what, files, commit] = /^\| an? ([a-z ]+) \| (.+) \| ([\da-f]{7}) \|$/.exec(line) ?? []
    if (what === undefined || files === undefined || commit === undefined) return []
    return [{ what, files: [...files.matchAll(/`(.+?)`/g)].map(([, file]) => `src/${file}`).sort(), commit }]
  })

/** Files of src that an addition may touch at most. */
const most = {
  op: 1,
  layer: 1,
  'data format': 2,
  variant: 2,
  condition: 2,
  stage: 2,
  sampler: 1,
  metric: 1,
  optimiser: 3,
  command: 2,
  preset: 1,
}

describe('docs/extending.md', () => {
  it('has a row for everything that people add, with no more files than that takes', () => {
    expect(rows.map(({ what, files }) => [what, files.length])).toEqual(Object.entries(most))
  })

  it.each(rows)('names files that there are: $what', ({ files }) => {
    expect(files.filter((file) => !existsSync(file))).toEqual([])
  })

  it.for(rows)('names what commit $commit touched: $what', ({ files, commit }, context) => {
    const touched = touchedBy(commit)
    if (touched === null) context.skip('the history of this copy does not reach back to it')
    expect(touched).toEqual(files)
  })
})
