/** @file Processes of this machine. */
import { createHash } from 'node:crypto'
import { hostname } from 'node:os'

/** Tells this machine from others that write to the same disk, in eight letters. */
export const thisHost: string = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)

/** Whether there is a process of that id here. */
export const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
