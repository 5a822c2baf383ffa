/** @file A stand-in of the Hugging Face Hub over HTTP on this machine: what its client asks when models are pushed and pulled. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A file as the Hub lists it. What it says of size and checksum may be false. */
export interface Listed {
  readonly path: string
  readonly size: number
  readonly oid: string
  readonly lfs?: { readonly oid: string; readonly size: number; readonly pointerSize: number }
}

interface Revision {
  readonly sha: string
  readonly files: ReadonlyMap<string, Buffer>
}

interface Repo {
  readonly isPrivate: boolean
  revisions: Revision[]
}

/** What goes wrong with a request: a status with a body, a connection that drops after so many bytes of the body. */
export type Fault = { readonly status: number; readonly body?: object } | { readonly dropAfter: number }

/** A request, as tests look at it. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly range: string | undefined
  readonly authorization: string | undefined
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const blobId = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')

const isLarge = (path: string): boolean => /\.(safetensors|onnx|weights|png|webp)$/.test(path)

/** How the Hub would list a file. */
export const listedAs = (path: string, bytes: Buffer): Listed => ({
  path,
  size: bytes.length,
  oid: blobId(bytes),
  ...(isLarge(path) && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }),
})

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** Bytes of a part where uploads are cut into parts, and from how many on they are. */
const partBytes = 2 ** 14

/** Answers of a kind of request. */
type Handler = (found: readonly string[], request: IncomingMessage, response: ServerResponse) => Promise<void>

export class FakeHub {
  readonly repos: Map<string, Repo> = new Map()
  readonly asked: Asked[] = []
  /** Says what goes wrong with a request; nothing when null. */
  fault: (asked: Asked) => Fault | null = () => null
  /** Changes what is listed. */
  list: (files: Listed[]) => Listed[] = (files) => files
  /** Tokens that may write. */
  readonly writers: ReadonlySet<string> = new Set(['hf_writer'])
  readonly readers: ReadonlySet<string> = new Set(['hf_reader', 'hf_writer'])
  readonly #stored = new Map<string, Buffer>()
  readonly #parts = new Map<string, Buffer>()
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch((error: Error) => response.writeHead(500).end(error.message))
  })
  url = ''

  async start(): Promise<void> {
    this.#server.keepAliveTimeout = 60_000 // on a busy machine a client may take long to ask again
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  /** Puts a model there. */
  put(name: string, files: Readonly<Record<string, Buffer | string>>, isPrivate = false): string {
    const revision = new Map(
      Object.entries(files).map(([path, bytes]) => [path, Buffer.from(bytes as Buffer)]),
    )
    return this.#commit(name, revision, isPrivate)
  }

  /** The newest files of a model. */
  filesOf(name: string): ReadonlyMap<string, Buffer> {
    return this.repos.get(name)?.revisions.at(-1)?.files ?? new Map()
  }

  #commit(name: string, files: ReadonlyMap<string, Buffer>, isPrivate = false): string {
    const repo = this.repos.get(name) ?? { isPrivate, revisions: [] }
    const sha = createHash('sha1').update(`${name}${repo.revisions.length}`).digest('hex')
    repo.revisions = [...repo.revisions, { sha, files }]
    this.repos.set(name, repo)
    return sha
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request
    const asked = {
      method,
      path: decodeURIComponent(url),
      range: headers.range,
      authorization: headers.authorization,
    }
    this.asked.push(asked)
    const fault = this.fault(asked)
    if (fault !== null && 'status' in fault) {
      await bodyOf(request)
      return this.#json(response, fault.body ?? { error: 'as asked' }, fault.status)
    }
    const [, handler, found] =
      this.#routes
        .map(([pattern, own]) => [pattern, own, pattern.exec(`${method} ${url.split('?')[0]}`)] as const)
        .find(([, , match]) => match !== null) ?? []
    if (handler === undefined || found === undefined || found === null)
      return this.#json(response, { error: 'no route' }, 404)
    if (fault !== null) this.#dropAfter(response, fault.dropAfter)
    await handler(found.slice(1).map(decodeURIComponent), request, response)
  }

  /** Sends so many bytes of the body that is to come, then cuts the connection. */
  #dropAfter(response: ServerResponse, bytes: number): void {
    const end = response.end.bind(response)
    response.end = ((body: Buffer) => {
      response.write(body.subarray(0, bytes), () => response.destroy())
      return response
    }) as typeof end
  }

  #json(response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}): void {
    response
      .writeHead(status, { 'Content-Type': 'application/json', ...headers })
      .end(Buffer.from(JSON.stringify(body)))
  }

  /** Whether a token may; answers when it may not. */
  #may(request: IncomingMessage, response: ServerResponse, right: 'read' | 'write', name?: string): boolean {
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1]
    const repo = name === undefined ? undefined : this.repos.get(name)
    if (token !== undefined && !this.readers.has(token))
      this.#json(response, { error: `Invalid token ${token}` }, 401)
    else if (right === 'write' && token === undefined) this.#json(response, { error: 'Log in' }, 401)
    else if (right === 'write' && !this.writers.has(token ?? ''))
      this.#json(response, { error: 'Forbidden' }, 403)
    else if (name !== undefined && (repo === undefined || (repo.isPrivate && token === undefined)))
      this.#json(response, { error: 'Repository not found' }, token === undefined ? 401 : 404)
    else return true
    return false
  }

  #revision(name: string, revision: string): Revision | undefined {
    const { revisions } = this.repos.get(name)!
    return ['main', 'HEAD'].includes(revision)
      ? revisions.at(-1)
      : revisions.find(({ sha }) => sha === revision)
  }

  readonly #create: Handler = async (_, request, response) => {
    const { name, organization, visibility } = JSON.parse(String(await bodyOf(request)))
    const full = `${organization}/${name}`
    if (!this.#may(request, response, 'write')) return
    if (this.repos.has(full))
      return this.#json(response, { error: 'You already created this model repo' }, 409)
    this.put(full, { '.gitattributes': '*.safetensors filter=lfs' }, visibility === 'private')
    this.#json(response, { url: `${this.url}/${full}`, id: full })
  }

  readonly #info: Handler = async ([name, revision], request, response) => {
    if (!this.#may(request, response, 'read', name)) return
    const found = this.#revision(name, revision)
    if (found === undefined) return this.#json(response, { error: 'Invalid rev id' }, 404)
    const repo = this.repos.get(name)!
    this.#json(response, {
      _id: '1',
      id: name,
      private: repo.isPrivate,
      sha: found.sha,
      lastModified: '2026-01-01',
      gated: false,
    })
  }

  readonly #tree: Handler = async ([name, revision], request, response) => {
    if (!this.#may(request, response, 'read', name)) return
    const files = this.list(
      [...this.#revision(name, revision)!.files].map(([path, bytes]) => listedAs(path, bytes)),
    )
    const entries = [
      { type: 'directory', path: 'onnx', size: 0, oid: '' },
      ...files.map((file) => ({ type: 'file', ...file })),
    ]
    const from = Number(new URL(request.url!, this.url).searchParams.get('cursor') ?? 0)
    // Pages of three, as the Hub has pages of a thousand.
    const next = `${this.url}/api/models/${name}/tree/${revision}?recursive=true&cursor=${from + 3}`
    this.#json(
      response,
      entries.slice(from, from + 3),
      200,
      from + 3 < entries.length ? { Link: `<${next}>; rel="next"` } : {},
    )
  }

  readonly #preupload: Handler = async ([name], request, response) => {
    const { files } = JSON.parse(String(await bodyOf(request))) as { files: { path: string }[] }
    if (!this.#may(request, response, 'write', name)) return
    this.#json(response, {
      files: files.map(({ path }) => ({ path, uploadMode: isLarge(path) ? 'lfs' : 'regular' })),
    })
  }

  readonly #batch: Handler = async ([name], request, response) => {
    const { objects, transfers } = JSON.parse(String(await bodyOf(request))) as {
      objects: { oid: string; size: number }[]
      transfers: string[]
    }
    if (!this.#may(request, response, 'write', name)) return
    const answered = objects.map(({ oid, size }) => {
      if (this.#stored.has(oid)) return { oid, size }
      if (size <= 2 * partBytes) return { oid, size, actions: { upload: { href: `${this.url}/lfs/${oid}` } } }
      const parts = Array.from({ length: Math.ceil(size / partBytes) }, (_, i) => i + 1)
      const header = Object.fromEntries(
        parts.map((part) => [String(part).padStart(5, '0'), `${this.url}/part/${oid}/${part}`]),
      )
      const upload = {
        href: `${this.url}/complete/${oid}`,
        header: { chunk_size: String(partBytes), ...header },
      }
      return { oid, size, actions: { upload } }
    })
    this.#json(response, {
      transfer: transfers.includes('multipart') ? 'multipart' : 'basic',
      objects: answered,
    })
  }

  #store(response: ServerResponse, oid: string, bytes: Buffer): void {
    const isWhole = sha256(bytes) === oid
    if (isWhole) this.#stored.set(oid, bytes)
    this.#json(response, isWhole ? {} : { error: 'checksum' }, isWhole ? 200 : 400)
  }

  readonly #upload: Handler = async ([oid], request, response) =>
    this.#store(response, oid, await bodyOf(request))

  readonly #part: Handler = async ([oid, part], request, response) => {
    this.#parts.set(`${oid}/${part}`, await bodyOf(request))
    this.#json(response, {}, 200, { ETag: `"${part}"` })
  }

  readonly #complete: Handler = async ([oid], request, response) => {
    const { parts } = JSON.parse(String(await bodyOf(request))) as {
      parts: { etag: string; partNumber: number }[]
    }
    if (parts.some(({ etag, partNumber }) => etag !== `"${partNumber}"`))
      return this.#json(response, { error: 'etags' }, 400)
    this.#store(
      response,
      oid,
      Buffer.concat(parts.map(({ partNumber }) => this.#parts.get(`${oid}/${partNumber}`)!)),
    )
  }

  readonly #commitFiles: Handler = async ([name], request, response) => {
    const lines = String(await bodyOf(request))
      .split('\n')
      .map((line) => JSON.parse(line) as { key: string; value: Record<string, string> })
    if (!this.#may(request, response, 'write', name)) return
    const files = new Map(this.filesOf(name))
    for (const { key, value } of lines) {
      if (key === 'file') files.set(value.path, Buffer.from(value.content, 'base64'))
      if (key === 'deletedFile') files.delete(value.path)
      if (key !== 'lfsFile') continue
      const stored = this.#stored.get(value.oid)
      if (stored === undefined) return this.#json(response, { error: 'an object was not uploaded' }, 400)
      files.set(value.path, stored)
    }
    const sha = this.#commit(name, files)
    this.#json(response, { commitOid: sha, commitUrl: `${this.url}/${name}/commit/${sha}`, hookOutput: '' })
  }

  readonly #resolve: Handler = async ([name, revision, path], request, response) => {
    if (!this.#may(request, response, 'read', name)) return
    const bytes = this.#revision(name, revision)?.files.get(path)
    if (bytes === undefined)
      return this.#json(response, { error: 'Entry not found' }, 404, { 'X-Error-Code': 'EntryNotFound' })
    const id = isLarge(path) ? sha256(bytes) : blobId(bytes)
    // Large files lie elsewhere; the address there carries its own right to read.
    if (isLarge(path))
      return void response
        .writeHead(302, {
          Location: `${this.url}/cdn/${name}/${revision}/${path}`,
          'X-Linked-ETag': `"${id}"`,
          'X-Linked-Size': String(bytes.length),
        })
        .end(Buffer.alloc(0))
    this.#send(request, response, bytes, id)
  }

  readonly #cdn: Handler = async ([name, revision, path], request, response) => {
    const bytes = this.#revision(name, revision)!.files.get(path)!
    this.#send(request, response, bytes, sha256(bytes))
  }

  #send(request: IncomingMessage, response: ServerResponse, bytes: Buffer, id: string): void {
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    const headers = { ETag: `"${id}"`, 'Accept-Ranges': 'bytes' }
    if (from === undefined)
      return void response.writeHead(200, { ...headers, 'Content-Length': bytes.length }).end(bytes)
    const end = Math.min(to === undefined || to === '' ? bytes.length - 1 : Number(to), bytes.length - 1)
    const part = bytes.subarray(Number(from), end + 1)
    const range = { 'Content-Range': `bytes ${from}-${end}/${bytes.length}`, 'Content-Length': part.length }
    response.writeHead(206, { ...headers, ...range }).end(part)
  }

  readonly #routes: readonly (readonly [RegExp, Handler])[] = [
    [/^POST \/api\/repos\/create$/, this.#create],
    [/^GET \/api\/models\/([^/]+\/[^/]+)\/revision\/([^/]+)$/, this.#info],
    [/^GET \/api\/models\/([^/]+\/[^/]+)\/tree\/([^/]+)$/, this.#tree],
    [/^POST \/api\/models\/([^/]+\/[^/]+)\/preupload\/[^/]+$/, this.#preupload],
    [/^POST \/([^/]+\/[^/]+)\.git\/info\/lfs\/objects\/batch$/, this.#batch],
    [/^PUT \/lfs\/(\w+)$/, this.#upload],
    [/^PUT \/part\/(\w+)\/(\d+)$/, this.#part],
    [/^POST \/complete\/(\w+)$/, this.#complete],
    [/^POST \/api\/models\/([^/]+\/[^/]+)\/commit\/[^/]+$/, this.#commitFiles],
    [/^GET \/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/, this.#resolve],
    [/^GET \/cdn\/([^/]+\/[^/]+)\/([^/]+)\/(.+)$/, this.#cdn],
  ]
}
