/** @file Other programs, asked for what they are. */
import { spawnSync } from 'node:child_process'

/** The first line that a program prints; null where there is none of that name, or it fails or takes more than 10 s. */
export const firstLineOf = (program: string, args: readonly string[]): string | null => {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 })
  if (status !== 0) return null
  return (
    `${stdout}\n${stderr}`
      .split('\n')
      .find((line) => line.trim() !== '')
      ?.trim() ?? ''
  )
}
