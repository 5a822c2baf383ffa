/** @file The studio as a server: a folder of runs, watched, over HTTP. */
import { once, setMaxListeners } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { createApp } from './app.ts'
import { createCommands } from './children.ts'
import { createEvents } from './events.ts'
import { openFolder } from './folder.ts'
import { createGuard } from './guard.ts'
import { readLogsHere } from './logReader.ts'
import { readLogsInThreads } from './logThreads.ts'
import { openOutputs } from './outputs.ts'
import { createPlanner } from './planner.ts'
import { openSite } from './site.ts'
import { createTrainers } from './trainers.ts'
import { watchRuns } from './watch.ts'

/** What is served, and where. */
export interface StudioOptions {
  /** The folder of runs. */
  readonly runs: string
  /** Where the built pages lie, or would. */
  readonly site: string
  /** What starts `ul`. */
  readonly start: readonly [program: string, ...args: string[]]
  /** The file of threads that read logs (logThread.ts, built); they are read in this thread where it is left out. */
  readonly logThread?: string | undefined
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
  /** The token of this start; one is made when absent. */
  readonly token?: string
  readonly warn: (text: string) => void
}

/** A studio at work. */
export interface Studio {
  readonly url: string
  readonly port: number
  readonly token: string
  /** Ends it, and all streams; trainers go on. */
  close(): Promise<void>
}

/** Bytes of headers, milliseconds until they and the whole request must be there, and connections at once, at most. */
const limits = {
  maxHeaderSize: 2 ** 14,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 5_000,
} as const
const mostConnections = 1024
/** Milliseconds between cuts of what trainers print. */
const trimEvery = 60_000

const listen = async (server: Server, host: string, port: number): Promise<AddressInfo> => {
  server.listen(port, host)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address
}

/** Serves a folder of runs. @throws when the folder is missing, or the address is taken */
export const openStudio = async (options: StudioOptions): Promise<Studio> => {
  const { host, logThread, warn } = options
  const folder = openFolder(options.runs)
  const closing = new AbortController()
  setMaxListeners(0, closing.signal) // one for each stream
  const events = createEvents()
  const watch = watchRuns(folder, events)
  const commands = createCommands(options.start)
  const outputs = openOutputs(folder)
  const trainers = createTrainers(folder, outputs, commands)
  const guard = createGuard(host, options.token)
  const threads = logThread === undefined ? undefined : readLogsInThreads(logThread)
  const app = createApp({
    ...{ folder, watch, events, commands, outputs, trainers, guard, warn },
    logs: threads ?? readLogsHere(),
    planner: createPlanner(folder, watch, commands),
    site: openSite(options.site, guard.token),
    closing: closing.signal,
  })
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: limits,
    overrideGlobalObjects: false,
  }) as Server
  server.maxConnections = mostConnections
  const { port } = await listen(server, host, options.port)
  // The first look takes longest: it is over, or under way, when the list is asked for.
  watch.look().catch((error: Error) => warn(error.message))
  const stopLooking = watch.keepLooking(() => events.listeners > 0)
  const trimming = setInterval(() => outputs.trim(), trimEvery)
  trimming.unref()
  const named = host.includes(':') ? `[${host}]` : host
  return {
    url: `http://${named}:${port}/`,
    port,
    token: guard.token,
    close: async () => {
      clearInterval(trimming)
      stopLooking()
      commands.stop()
      closing.abort()
      server.close()
      server.closeAllConnections()
      await threads?.close()
      if (server.listening) await once(server, 'close')
    },
  }
}
