/**
 * @file A stand-in of a Trackio server over HTTP on this machine: its version, and `bulk_log` as its files asgi_app.py, server.py and
 * sqlite_storage.py have it: the token, entries that are known by `log_id`, settings of which the last hold.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { LogEntry } from '../../src/trackio/server.ts'

/** What goes wrong with a request: an answer, or none at all. */
export type Fault = { readonly status: number; readonly body: string; readonly location?: string } | 'silence'

/** A row of the server's table of metrics. */
export type Row = Omit<LogEntry, 'config'>

const keys = ['project', 'run', 'run_id', 'metrics', 'step', 'config', 'log_id']

export class FakeTrackio {
  readonly token = 'a-write-token'
  /** What is kept, in the order in which it came. */
  readonly rows: Row[] = []
  /** Settings by `run_id`. */
  readonly configs: Map<string, unknown> = new Map()
  /** Entries that came, kept or not. */
  received = 0
  /** Paths with queries that were asked for. */
  readonly asked: string[] = []
  /** Says what goes wrong with a request; nothing when null. */
  fault: (path: string) => Fault | null = () => null
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch((error: Error) =>
      response.writeHead(500).end(JSON.stringify({ error: error.message })),
    )
  })
  #port = 0

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`
  }
  /** As a dashboard prints it. */
  get urlWithToken(): string {
    return `${this.url}?write_token=${this.token}`
  }

  /** Listens, again on the port that it had. */
  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    this.asked.push(path)
    const say = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    const fault = this.fault(path)
    if (fault === 'silence') return
    if (fault !== null) {
      response.writeHead(fault.status, fault.location === undefined ? {} : { location: fault.location })
      response.end(fault.body)
      return
    }
    if (request.method === 'GET' && path === '/version')
      return say(200, { version: '0.36.0', api_version: 1, api_transport: 'http', mcp_enabled: false })
    if (request.method !== 'POST' || path !== '/api/bulk_log') return say(404, { error: 'Unknown API' })
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { args, kwargs } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
      readonly args: readonly unknown[]
      readonly kwargs: { readonly logs: readonly LogEntry[]; readonly hf_token: null }
    }
    if (args.length > 0 || kwargs.hf_token !== null) return say(400, { error: 'Missing required parameter' })
    if (request.headers['x-trackio-write-token'] !== this.token)
      return say(400, { error: 'A write_token is required to log metrics or upload to this server.' })
    for (const entry of kwargs.logs) this.#keep(entry)
    say(200, { data: null })
  }

  #keep({ config, ...row }: LogEntry): void {
    const missing = keys.filter((key) => !Object.hasOwn({ config, ...row }, key))
    if (missing.length > 0) throw new Error(`no ${missing}`)
    this.received++
    if (config !== null) this.configs.set(row.run_id, config)
    if (!this.rows.some(({ project, log_id }) => project === row.project && log_id === row.log_id))
      this.rows.push(row)
  }
}
