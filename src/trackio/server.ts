/**
 * @file A Trackio server (Hugging Face's experiment tracker, https://github.com/gradio-app/trackio): where it is, what is asked of
 * it, and what its answers mean in one sentence. The protocol is that of its files remote_client.py, asgi_app.py and server.py,
 * `api_version` 1: `GET version`, and `POST api/bulk_log` with `{"args": [], "kwargs": {"logs": […], "hf_token": null}}` and the write token in
 * a header. What was not done answers 400, a missing or wrong token among it, or 500, with `{"error": text}`.
 */
import { ConfigError } from '../config/load.ts'
import { shortened } from '../report/escape.ts'
import type { MetricValue } from '../runs/metricLines.ts'

/** A server, and what it is to know a log by. */
export interface TrackioServer {
  /** Its address, which ends with a slash and holds no token: it may be shown. */
  readonly address: string
  /** Shown to nobody but the server; null where none was given. */
  readonly token: string | null
  readonly project: string
}

/** A line of a log as `bulk_log` takes it. */
export interface LogEntry {
  readonly project: string
  /** The run's name; runs are told apart by `run_id`. */
  readonly run: string
  readonly run_id: string
  readonly metrics: Readonly<Record<string, MetricValue>>
  readonly step: number
  /** Settings of the run, or null; the last that were sent hold. */
  readonly config: Readonly<Record<string, unknown>> | null
  /** Of entries with the same one in a project, the server keeps the first (sqlite_storage.py, a unique index). */
  readonly log_id: string
}

/** Bytes of an answer that are read at most. */
const longestAnswer = 2 ** 16
/** Characters of what a server says that are passed on. */
const mostSaid = 200

const usualProject = 'unified-latents'

/** Reads a token: characters that a header can hold. @throws ConfigError that does not show it */
const tokenOf = (given: string, source: string): string => {
  if (/^[\x21-\x7e]+$/.test(given)) return given
  throw new ConfigError(`${source}: this is no write token, which has letters and digits alone; copy it anew`)
}

/**
 * The server that an address names as its dashboard prints it: with `?write_token=…`, or else with the token in TRACKIO_WRITE_TOKEN.
 * The project is TRACKIO_PROJECT, or `unified-latents`. Null where no address was given: what TRACKIO_SERVER_URL names is asked nothing.
 * @throws ConfigError in one sentence without any token when it is no address of http or https
 */
export const trackioServer = (given: string | undefined): TrackioServer | null => {
  if (given === undefined) return null
  const url = URL.canParse(given) ? new URL(given) : null
  // What does not parse may hold a token anywhere.
  if (url === null || !/^https?:$/.test(url.protocol) || url.username + url.password !== '')
    throw new ConfigError(
      '--trackio: expected an address of http or https without a user, as the dashboard prints it (http://127.0.0.1:7860/?write_token=…)',
    )
  const { TRACKIO_WRITE_TOKEN, TRACKIO_PROJECT } = process.env
  const inAddress = url.searchParams.get('write_token')
  const inEnvironment = TRACKIO_WRITE_TOKEN?.trim()
  return {
    address: `${url.origin}${url.pathname.replace(/\/*$/, '/')}`,
    token:
      inAddress !== null && inAddress !== ''
        ? tokenOf(inAddress, '--trackio: write_token')
        : inEnvironment !== undefined && inEnvironment !== ''
          ? tokenOf(inEnvironment, 'TRACKIO_WRITE_TOKEN')
          : null,
    project: TRACKIO_PROJECT === undefined || TRACKIO_PROJECT === '' ? usualProject : TRACKIO_PROJECT,
  }
}

/** The beginning of an answer as text. */
const textOf = async (response: Response): Promise<string> => {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of response.body ?? []) {
    pieces.push(piece)
    length += piece.length
    if (length > longestAnswer) break
  }
  return Buffer.concat(pieces).toString('utf8')
}

/** An answer as JSON; empty where it is no object of it. */
const objectIn = (text: string): Readonly<Record<string, unknown>> => {
  try {
    const value: unknown = JSON.parse(text)
    return { ...(value as object | null) }
  } catch {
    return {}
  }
}

/** Asks a server. @throws in a few words that follow its address: that it cannot be reached, or does not do it, and why */
const ask = async (
  { address, token }: TrackioServer,
  path: string,
  init: RequestInit,
): Promise<Readonly<Record<string, unknown>>> => {
  const headers = {
    'content-type': 'application/json',
    ...(token !== null && { 'x-trackio-write-token': token }),
  }
  let [status, text] = [0, '']
  try {
    // A redirection would take the token elsewhere.
    const response = await fetch(`${address}${path}`, { ...init, headers, redirect: 'manual' })
    status = response.status
    text = await textOf(response)
  } catch (cause) {
    init.signal?.throwIfAborted()
    const { cause: reason } = cause as Error
    const code = reason instanceof Error && 'code' in reason ? ` (${reason.code})` : ''
    throw new Error(`it cannot be reached, or broke off${code}`, { cause })
  }
  const answer = objectIn(text)
  const { error } = answer
  if (status === 200 && (error === undefined || error === null)) return answer
  const said = typeof error === 'string' ? error : ''
  if (status === 401 || status === 403 || (status === 400 && said.includes('write_token')))
    throw new Error(
      token === null
        ? `it takes a write token (${status}); give the address with ?write_token=… as its dashboard prints it, or set TRACKIO_WRITE_TOKEN`
        : `it does not know this write token (${status}); give the one that its dashboard prints`,
    )
  const shown = shortened(said, mostSaid).replaceAll(token ?? '\0', '…')
  throw new Error(`it answers ${status}${shown === '' ? '' : `: ${shown}`}`)
}

/** @throws in a few words when there is no server of that version of the protocol, or none at all */
export const expectTrackio = async (server: TrackioServer, signal: AbortSignal): Promise<void> => {
  const { api_version: version, api_transport: transport } = await ask(server, 'version', { signal })
  if (version !== 1 || transport !== 'http')
    throw new Error('it does not answer as a Trackio server of API 1')
}

/** Sends lines, all or none of them. @throws in a few words why not */
export const sendLogs = async (
  server: TrackioServer,
  logs: readonly LogEntry[],
  signal: AbortSignal,
): Promise<void> => {
  const body = JSON.stringify({ args: [], kwargs: { logs, hf_token: null } })
  await ask(server, 'api/bulk_log', { method: 'POST', body, signal })
}
