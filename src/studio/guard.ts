/**
 * @file Who may ask. A page of another site can send requests here, too: by its own name for this address (DNS rebinding), from
 * its own origin, or as a picture. So the name that was asked for, the origin and what the browser says of the site are checked,
 * and writing takes a token that only this studio's pages know.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { hostname, networkInterfaces } from 'node:os'
import { Refused } from './refused.ts'

/** What decides over a request. */
export interface Guard {
  /** The token of this start. */
  readonly token: string
  /** @throws Refused for a request that no page of this studio, and nobody at this machine, sends */
  expectOwn(request: Request): void
  /** @throws Refused for a writing request without the token, or not as JSON */
  expectMayWrite(request: Request): void
}

/** Header of the token. */
export const tokenHeader = 'x-studio-token'

/** Names by which this machine knows itself. */
const localNames = ['localhost', '127.0.0.1', '[::1]']

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address)

/** Names by which others may know it: a page elsewhere can give a name of its own to this machine, but not one of these. */
const ownNames = (): string[] => [
  hostname().toLowerCase(),
  ...Object.values(networkInterfaces()).flatMap((list = []) => list.map(({ address }) => bracketed(address))),
]

/** A host with its port as browsers write it; null for anything else. */
const hostPattern = /^(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?$/

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** @param listensOn the address that was asked for: others than this machine are then answered, too */
export const createGuard = (
  listensOn: string,
  token: string = randomBytes(32).toString('base64url'),
): Guard => {
  const isLocal = localNames.includes(bracketed(listensOn))
  const names = new Set([
    ...localNames,
    ...(isLocal ? [] : [bracketed(listensOn).toLowerCase(), ...ownNames()]),
  ])
  const expected = digest(token)
  return {
    token,
    expectOwn: ({ headers, method, url }) => {
      const host = (headers.get('host') ?? '').toLowerCase()
      const [, name = ''] = hostPattern.exec(host) ?? []
      // An absolute address in the request line would name another host than the header.
      if (!names.has(name) || new URL(url).host !== new URL(`http://${host}`).host)
        throw new Refused(403, 'this is not a name of this studio; open the address that it printed')
      const origin = headers.get('origin')
      if (origin !== null && origin !== `http://${host}` && origin !== `https://${host}`)
        throw new Refused(403, "pages of other origins are not answered; open the studio's own")
      const site = headers.get('sec-fetch-site')
      const isVisit = method === 'GET' && headers.get('sec-fetch-mode') === 'navigate'
      if (site !== null && site !== 'same-origin' && site !== 'none' && !isVisit)
        throw new Refused(403, "pages of other sites are not answered; open the studio's own")
    },
    expectMayWrite: ({ headers }) => {
      const given = headers.get(tokenHeader)
      // Digests have one length, and are compared in one time.
      if (given === null || !timingSafeEqual(digest(given), expected))
        throw new Refused(
          401,
          `the header ${tokenHeader} is not the token of this start; load the page again, which has it`,
        )
      const [type = ''] = (headers.get('content-type') ?? '').split(';')
      if (type.trim().toLowerCase() !== 'application/json')
        throw new Refused(415, 'the body is to be application/json; send it as that')
    },
  }
}
