/** @file An address in the browser of whoever started a command. */
import { spawn } from 'node:child_process'
import { warn } from './print.ts'

/** Milliseconds within which a program that opens an address says that it cannot; later it is the browser that ends. */
const soon = 10_000

/** A program that opens an address, which comes last: BROWSER, or the platform's own. None of them is a shell. */
const opener = (): readonly [program: string, ...args: string[]] => {
  const { BROWSER } = process.env
  if (BROWSER !== undefined && BROWSER !== '') return [BROWSER]
  if (process.platform === 'darwin') return ['open']
  if (process.platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler']
  return ['xdg-open']
}

/** An address as a browser of this machine reaches what listens everywhere. */
const reachable = (url: string): string =>
  url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')

/** Opens an address in a process that goes on by itself. Where that fails, one sentence says so, and nothing else comes of it. */
export const openInBrowser = (url: string): void => {
  const address = reachable(url)
  const [program, ...args] = opener()
  const fail = (why: string): void =>
    warn(`--open: ${program} ${why}; open ${address} by hand, or set BROWSER to a program that opens it`)
  try {
    const child = spawn(program, [...args, address], { detached: true, stdio: 'ignore' })
    const ended = (code: number | null): void => {
      if (code !== 0) fail(code === null ? 'was killed' : `ended with ${code}`)
    }
    child.once('error', ({ code }: NodeJS.ErrnoException) => fail(`cannot be started (${code})`))
    child.once('exit', ended)
    setTimeout(() => child.removeListener('exit', ended), soon).unref()
    child.unref()
  } catch (error) {
    fail(`cannot be started (${(error as NodeJS.ErrnoException).code})`)
  }
}
