/** @file The connection to the Hugging Face Hub: where it is, who asks, and what its errors mean in one sentence. */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type * as HubLibrary from '@huggingface/hub'
import { ConfigError } from '../config/load.ts'
import { shortened } from '../report/escape.ts'

/** What every call is given. */
export interface HubAccess {
  readonly hubUrl: string
  readonly accessToken?: string
  readonly fetch: typeof fetch
}

/** An open connection. */
export interface Hub {
  readonly library: typeof HubLibrary
  readonly access: HubAccess
  readonly signal: AbortSignal
}

const usualEndpoint = 'https://huggingface.co'

/** Where the Hub is: HF_ENDPOINT, or the usual place. @throws ConfigError when a token would be sent in the clear */
const endpoint = (): string => {
  const given = process.env.HF_ENDPOINT
  if (given === undefined || given === '') return usualEndpoint
  const url = URL.canParse(given) ? new URL(given) : null
  const isLocal = ['127.0.0.1', 'localhost', '[::1]'].includes(url?.hostname ?? '')
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isLocal)) return given.replace(/\/+$/, '')
  throw new ConfigError(
    `HF_ENDPOINT ${JSON.stringify(given)}: expected an address with https, as a token is sent there`,
  )
}

/** Where the Hub's own tools keep the token of whoever is logged in. */
const tokenFile = (): string => {
  const { HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = process.env
  const home = HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface')
  return HF_TOKEN_PATH ?? join(home, 'token')
}

/** The token and where it comes from; null where there is none. It is shown to nobody but the Hub. */
const findToken = (): { readonly token: string; readonly source: string } | null => {
  const given = process.env.HF_TOKEN?.trim()
  if (given !== undefined && given !== '') return { token: given, source: 'HF_TOKEN' }
  const file = tokenFile()
  const kept = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
  return kept === '' ? null : { token: kept, source: file }
}

/** Tries of what only asks: the Hub may have closed a connection that was kept. */
const tries = 3

/** A fetch that is aborted with everything else that is under way, and repeats what only asks where no answer comes. */
const patientFetch =
  (signal: AbortSignal): typeof fetch =>
  async (input, init) => {
    const signals = AbortSignal.any([signal, ...(init?.signal ? [init.signal] : [])])
    const isRepeatable = (init?.method ?? 'GET') === 'GET'
    for (let attempt = 1; ; attempt++) {
      try {
        return await fetch(input, { ...init, signal: signals })
      } catch (cause) {
        if (!isRepeatable || attempt === tries || !(cause instanceof TypeError)) throw cause
      }
    }
  }

/**
 * Connects to the Hub, with the token in HF_TOKEN or in the file of the Hub's tools where there is one.
 * @param needsToken whether what follows is not for everybody
 * @throws ConfigError when the token is missing or none
 */
export const connect = async (signal: AbortSignal, needsToken: boolean): Promise<Hub> => {
  const hubUrl = endpoint()
  const found = findToken()
  if (found === null && needsToken)
    throw new ConfigError(
      "there is no token to push with; set HF_TOKEN to one that may write (from the Hub's settings), or log in with 'hf auth login'",
    )
  if (found !== null && !/^hf_\w+$/.test(found.token))
    throw new ConfigError(
      `${found.source}: this is no token of the Hub, which begins with hf_; write it anew`,
    )
  return {
    library: await import('@huggingface/hub'),
    access: { hubUrl, fetch: patientFetch(signal), ...(found && { accessToken: found.token }) },
    signal,
  }
}

/** What a call is about. */
export interface Asked {
  readonly model: string
  readonly revision?: string
}

const meanings: Readonly<Record<number, (asked: Asked, hasToken: boolean) => string>> = {
  401: (_, hasToken) =>
    hasToken
      ? 'the token is not known there (401); set HF_TOKEN to one that is'
      : 'there is no such model, or it takes a token (401); check the name, or set HF_TOKEN',
  403: () => 'the token may not do that (403); set HF_TOKEN to one with the right, for this owner',
  404: ({ revision }) =>
    `there is no such model${revision === undefined ? '' : ` with a revision ${JSON.stringify(revision)}`}, or the token may not see it (404); check the name`,
  409: () => 'somebody else changed it meanwhile (409); do it again',
  412: () => 'somebody else changed it meanwhile (412); do it again',
  413: () => 'that is more than the Hub takes (413); push without --onnx',
  429: () => 'the Hub is asked too often (429); wait a while, then do it again',
}

const networkText = (error: Error): string | null => {
  if (!['fetch failed', 'terminated'].includes(error.message)) return null
  const { cause } = error
  return cause instanceof Error && 'code' in cause ? String(cause.code) : error.message
}

/** What an error of the Hub, or of the way there, means; null of any other. */
const sentenceOf = (error: unknown, { library, access }: Hub, asked: Asked): string | null => {
  const { hubUrl, accessToken } = access
  if (error instanceof library.HubApiError) {
    const { statusCode: status, data } = error
    const meaning = meanings[status]?.(asked, accessToken !== undefined)
    if (meaning !== undefined) return `${asked.model}: ${meaning}`
    if (status >= 500) return `${asked.model}: the Hub failed (${status}); try again later`
    const said = shortened(String(data?.error ?? data?.message ?? ''), 200).replaceAll(
      accessToken ?? '\0',
      '…',
    )
    return `${asked.model}: the Hub refuses it (${status})${said === '' ? '' : `: ${said}`}; check what it asks for`
  }
  // The library passes on what broke a body as a text.
  const broken = typeof error === 'string' ? error : error instanceof Error ? networkText(error) : null
  if (broken !== null)
    return `${asked.model}: ${hubUrl} cannot be reached, or broke off (${shortened(broken, 80)}); check the network, then do it again`
  if (error instanceof library.InvalidApiResponseFormatError || error instanceof SyntaxError)
    return `${asked.model}: ${hubUrl} does not answer as the Hub does; check HF_ENDPOINT`
  return null
}

/** Does something with the Hub. @throws one sentence in place of its errors; the signal's reason once that is aborted */
export const asking = async <T>(hub: Hub, asked: Asked, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (cause) {
    hub.signal.throwIfAborted()
    const sentence = sentenceOf(cause, hub, asked)
    throw sentence === null ? cause : new Error(sentence, { cause })
  }
}
