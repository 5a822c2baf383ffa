/** @file Output that nobody reads to its end: `ul … | head -1`. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { workFolder } from './ul.ts'

const cli = fileURLToPath(new URL('../../dist/commands/main.mjs', import.meta.url))

describe('a closed pipe', () => {
  it.each([[['--help']], [['info', 'study', '--json']]])('ends %j quietly', async (args) => {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: workFolder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.destroy()
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const code = await new Promise((resolve) => child.once('close', resolve))
    expect([code, stderr]).toEqual([0, ''])
  })
})
