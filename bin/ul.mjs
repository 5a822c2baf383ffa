#!/usr/bin/env node
/** @file Starts the command line. A fresh checkout is built first: .npmrc keeps `npm ci` from running scripts. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const main = new URL('../dist/commands/main.mjs', import.meta.url)
if (!existsSync(main)) {
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  process.stderr.write('ul: building once\n')
  const { status } = spawnSync('npm run build --silent', {
    cwd,
    shell: true,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0) {
    process.stderr.write(`ul: ${cwd} could not be built with 'npm run build'; run 'npm ci' there first\n`)
    process.exit(1)
  }
}
await import(main.href)
