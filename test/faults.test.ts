/** @file The faults of docs/reliability.md, a few of each kind; `tools/faults.mjs` plants as many as one likes. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const minutes = 60_000

it.each(['kills 2', 'kill 90', 'full 90', 'removed 130', 'short 100', 'damage 8', 'writers 1'])(
  '%s: what is left resumes to the bits of an unbroken run, and nothing is silent',
  async (command) => {
    const args = ['tools/faults.mjs', ...command.split(' ')]
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args)
    expect(stdout).toMatch(/: all as promised\n$/)
    expect(stderr).toBe('')
  },
  10 * minutes,
)

it('docs/reliability.md names every command of the tool', () => {
  const [tool, page] = ['tools/faults.mjs', 'docs/reliability.md'].map((file) => readFileSync(file, 'utf8'))
  const commands = [...tool.matchAll(/^ \* {3}(?:npm run build && )?node (tools\/faults\.mjs \w+)/gm)].map(
    ([, name]) => name,
  )
  expect(commands.length).toBeGreaterThan(8)
  expect(commands.filter((name) => !page.includes(name))).toEqual([])
})
