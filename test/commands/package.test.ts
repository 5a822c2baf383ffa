/** @file The package from outside: its launcher on a fresh checkout, and what README says of its entries. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'unified-latents-launcher-'))
afterAll(() => rmSync(folder, { recursive: true }))

const node = (args: readonly string[], cwd: string) =>
  spawnSync(process.execPath, args, { cwd, encoding: 'utf8' })

describe('bin/ul.mjs', () => {
  /** A checkout that is not built, with `build` as the script that builds it. */
  const checkout = (name: string, build: string): string => {
    const at = join(folder, name)
    mkdirSync(join(at, 'bin'), { recursive: true })
    cpSync(join(root, 'bin', 'ul.mjs'), join(at, 'bin', 'ul.mjs'))
    writeFileSync(join(at, 'package.json'), JSON.stringify({ name, scripts: { build } }))
    writeFileSync(
      join(at, 'build.cjs'),
      `const fs = require('fs'); fs.mkdirSync('dist/commands', { recursive: true })
       fs.writeFileSync('dist/commands/main.mjs', 'console.log("ran", ...process.argv.slice(2))')`,
    )
    return at
  }

  it('builds a fresh checkout, once, and runs', () => {
    const at = checkout('fresh', 'node build.cjs')
    const first = node([join(at, 'bin', 'ul.mjs'), 'info', 'x'], folder)
    expect(first).toMatchObject({ status: 0, stdout: 'ran info x\n', stderr: 'ul: building once\n' })
    const second = node([join(at, 'bin', 'ul.mjs')], folder)
    expect(second).toMatchObject({ status: 0, stdout: 'ran\n', stderr: '' })
  })

  it('says what to do when that fails', () => {
    const at = checkout('broken', 'node -e "process.exit(3)"')
    const { status, stderr } = node([join(at, 'bin', 'ul.mjs')], folder)
    expect(status).toBe(1)
    expect(stderr).toContain("broken/ could not be built with 'npm run build'; run 'npm ci' there first\n")
  })
})

describe('README', () => {
  it('the example of the graph runs and prints what it says', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8')
    const code = readme.split('```ts\n').map((block) => block.split('```')[0])
    const example = code.find((block) => block.includes('unified-latents/ops'))!
    const said = /console\.log\(.*\/\/ (.*)/.exec(example)![1]
    const { stdout, stderr } = node(['--input-type=module', '--eval', example], root)
    expect([stdout, stderr]).toEqual([`${said}\n`, ''])
  })
})
