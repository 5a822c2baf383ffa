/** @file Processor time of this process and of all that it started, which is what a browser runs in. */
import { readdirSync, readFileSync } from 'node:fs'

/** Ticks of a second (proc_pid_stat(5); Linux tells programs 100 whatever the kernel has). */
const ticks = 100

interface Used {
  readonly parent: number
  readonly seconds: number
}

const usedBy = (pid: string): Used | null => {
  try {
    // The name, in brackets, may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
    return { parent: Number(fields[1]), seconds: (Number(fields[11]) + Number(fields[12])) / ticks }
  } catch {
    return null // it ended meanwhile
  }
}

/** Seconds of this process and of its descendants that are alive. */
export const familySeconds = (): number => {
  const all = new Map<number, Used>()
  for (const name of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const used = usedBy(name)
    if (used !== null) all.set(Number(name), used)
  }
  const isOurs = (pid: number): boolean => {
    if (pid === process.pid) return true
    const used = all.get(pid)
    return used !== undefined && used.parent > 0 && isOurs(used.parent)
  }
  return [...all].reduce((sum, [pid, { seconds }]) => sum + (isOurs(pid) ? seconds : 0), 0)
}
