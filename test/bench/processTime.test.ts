/** @file Processor time of a family of processes: a child's counts while it lives, and no less than this process's own. */
import { spawn } from 'node:child_process'
import { expect, it } from 'vitest'
import { familySeconds } from '../../bench/processTime.ts'

it('counts what a child computes, and not what it sleeps', async () => {
  const child = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })
  try {
    const own = process.cpuUsage()
    const before = familySeconds()
    await new Promise((resolve) => setTimeout(resolve, 2000))
    const used = familySeconds() - before
    const { user, system } = process.cpuUsage(own)
    // However busy the machine is, the child gets a part of two seconds, and no more than all of them.
    expect(used).toBeGreaterThan((user + system) / 1e6 + 0.05)
    expect(used).toBeLessThan(3)
  } finally {
    child.kill('SIGKILL')
  }
})
