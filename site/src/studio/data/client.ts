/** @file The studio's API (src/studio/api.ts) as functions: JSON there and back, refusals as one sentence. */
import type {
  CheckAnswer,
  Form,
  PlanAnswer,
  Refusal,
  RunDetail,
  RunList,
  RunRequest,
  ScatterPoint,
  Series,
  StartRequest,
} from '../../../../src/studio/api.ts'

/** What a page asks of the server; every function may be given up by a signal, and throws a StudioError. */
export interface StudioClient {
  runs(signal?: AbortSignal): Promise<RunList>
  run(run: string, signal?: AbortSignal): Promise<RunDetail>
  series(query: SeriesQuery, signal?: AbortSignal): Promise<Series>
  scatter(below: string, signal?: AbortSignal): Promise<readonly ScatterPoint[]>
  plan(query: PlanQuery, signal?: AbortSignal): Promise<PlanAnswer>
  form(signal?: AbortSignal): Promise<Form>
  check(request: StartRequest, signal?: AbortSignal): Promise<CheckAnswer>
  start(request: StartRequest): Promise<void>
  stop(request: RunRequest): Promise<void>
  resume(request: RunRequest): Promise<void>
}

/** Which part of a metric, in how many parts at most; both ends of the steps are within. */
export interface SeriesQuery {
  readonly run: string
  readonly stage: string
  readonly metric: string
  readonly from?: number
  readonly to?: number
  readonly points: number
}

/** One of a wanted rate and a budget in FLOPs. */
export interface PlanQuery {
  readonly below: string
  readonly bitsPerPixel?: number
  readonly budget?: number
}

/** Why the server gave no answer, in one sentence for the reader. `status` is null where it was not reached. */
export class StudioError extends Error {
  readonly status: number | null
  constructor(message: string, status: number | null) {
    super(message)
    this.status = status
  }
}

/** What the client needs of its surroundings. */
export interface ClientParts {
  readonly fetch: typeof globalThis.fetch
  /** The token that this page was served with. */
  readonly token: string
  /** Asks for the page again: a server that was started anew has another token. */
  readonly newToken: () => Promise<string>
  /** Milliseconds after which an answer is given up. */
  readonly patience?: number
}

/** A trainer that is started is waited for until it holds its run: so many times as long as any other answer. */
const startPatience = 6

const unreached =
  "The studio does not answer; start it again with 'ul studio', and this page goes on where it is."

/** The sentence of a refusal; what else answers, such as a proxy, gives none. */
const refusalOf = async (response: Response, path: string): Promise<StudioError> => {
  const body = (await response.json().catch(() => null)) as Partial<Refusal> | null
  const sentence = body?.error ?? `The studio answered ${path} with status ${response.status}.`
  return new StudioError(sentence, response.status)
}

const queryOf = (values: object): string => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined)
  return new URLSearchParams(given.map(([key, value]): [string, string] => [key, String(value)])).toString()
}

/** Whoever gave up a request hears of that, and of nothing else. */
const failureOf = (cause: unknown, path: string, signal: AbortSignal | undefined): unknown => {
  if (signal?.aborted) return signal.reason
  if (cause instanceof StudioError) return cause
  const isLate = cause instanceof Error && cause.name === 'TimeoutError'
  return new StudioError(isLate ? `The studio took too long to answer ${path}; try again.` : unreached, null)
}

/** A client of the studio that served this page. */
export const openClient = (parts: ClientParts): StudioClient => {
  let { token } = parts
  const { patience = 30_000 } = parts

  const send = async (path: string, init: RequestInit, signal?: AbortSignal): Promise<Response> => {
    const isStart = path === '/api/start' || path === '/api/resume'
    const late = AbortSignal.timeout(isStart ? startPatience * patience : patience)
    try {
      const ends = signal === undefined ? late : AbortSignal.any([signal, late])
      return await parts.fetch(path, { ...init, signal: ends })
    } catch (cause) {
      throw failureOf(cause, path, signal)
    }
  }

  /** @throws what the server refused, or that its answer is no JSON */
  const bodyOf = async (response: Response, path: string, signal?: AbortSignal): Promise<unknown> => {
    if (!response.ok) throw await refusalOf(response, path)
    try {
      const text = await response.text()
      return text === '' ? null : JSON.parse(text)
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw failureOf(cause, path, signal)
      throw new StudioError(
        `The studio's answer to ${path} is no JSON; is another server at this address?`,
        200,
      )
    }
  }

  const get = async <T>(name: string, values: object, signal?: AbortSignal): Promise<T> => {
    const path = `/api/${name}?${queryOf(values)}`.replace(/\?$/, '')
    return (await bodyOf(await send(path, {}, signal), path, signal)) as T
  }

  const post = async <T>(name: string, body: object, signal?: AbortSignal): Promise<T> => {
    const path = `/api/${name}`
    const attempt = (): Promise<Response> => {
      const headers = { 'content-type': 'application/json', 'x-studio-token': token }
      return send(path, { method: 'POST', headers, body: JSON.stringify(body) }, signal)
    }
    let response = await attempt()
    if (response.status === 401 || response.status === 403) {
      const renewed = await parts.newToken().catch(() => token)
      if (renewed !== token) {
        token = renewed
        response = await attempt()
      }
    }
    return (await bodyOf(response, path, signal)) as T
  }

  return {
    runs: (signal) => get('runs', {}, signal),
    run: (run, signal) => get('run', { run }, signal),
    series: (query, signal) => get('series', query, signal),
    scatter: (below, signal) => get('scatter', { below }, signal),
    plan: (query, signal) => get('plan', query, signal),
    form: (signal) => get('form', {}, signal),
    check: (request, signal) => post('check', request, signal),
    start: (request) => post('start', request),
    stop: (request) => post('stop', request),
    resume: (request) => post('resume', request),
  }
}

/** The token in a page's text: the content of `<meta name="studio-token">`; empty where there is none. */
export const tokenIn = (page: string): string =>
  /<meta\s+name="studio-token"\s+content="([^"]*)"/.exec(page)?.[1] ?? ''
