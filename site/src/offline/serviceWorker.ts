/**
 * @file The service worker: the site goes on without a network after its first load. Files are kept under the hash of
 * their content, so a new build fetches only what changed. It also adds the headers that let pages use threads.
 */

/** Paths below the scope → SHA-256 of the content. */
export type SiteFiles = Readonly<Record<string, string>>

declare const self: ServiceWorkerGlobalScope
/** Written by the build (plugins/offlineFiles.ts). */
declare const SITE_FILES: SiteFiles

const files = SITE_FILES
const cacheName = 'unified-latents'

/** Models, what runs them, and pictures to train on: kept after the page is there. */
const isLarge = (path: string): boolean => /\.(wasm|safetensors|pixels)$/.test(path)
/** Nor is the runtime for GPUs fetched ahead: it is twice as large, and WebAssembly does without. */
const isForGpu = (path: string): boolean => /asyncify.*\.wasm$/.test(path)

const urlOf = (path: string): string => new URL(path, self.registration.scope).href
/** What a file is kept under. */
const keyOf = (path: string): string => `${urlOf(path)}?sha256=${files[path]}`

/** The path below the scope of a request for one of the files, else undefined. */
const pathOf = (request: Request): string | undefined => {
  const { scope } = self.registration
  const { origin, pathname } = new URL(request.url)
  const url = origin + pathname
  if (request.method !== 'GET' || request.headers.has('range') || !url.startsWith(scope)) return undefined
  const path = decodeURI(url.slice(scope.length)) || 'index.html'
  return Object.hasOwn(files, path) ? path : undefined
}

const hexOf = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('')

/** Keeps a response, when its content is what this build has under that path. */
const keep = async (path: string, response: Response): Promise<void> => {
  const body = await response.clone().arrayBuffer()
  if (hexOf(await crypto.subtle.digest('SHA-256', body)) !== files[path]) return
  const cache = await caches.open(cacheName)
  await cache.put(keyOf(path), new Response(body, { headers: response.headers }))
}

/** The response with the headers that isolate a page, without which it has no shared memory. */
const isolated = (response: Response): Response => {
  const headers = new Headers(response.headers)
  headers.set('Cross-Origin-Opener-Policy', 'same-origin')
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp')
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers })
}

const kept = async (path: string): Promise<Response | undefined> =>
  (await caches.open(cacheName)).match(keyOf(path))

const fetched = async (event: FetchEvent, path: string): Promise<Response> => {
  const response = await fetch(event.request)
  if (response.ok) event.waitUntil(keep(path, response.clone()).catch(() => undefined)) // a full disk is no error
  return response
}

/** Pages come from the network where there is one, so that they are never old; the rest has its content in its name. */
const answer = async (event: FetchEvent, path: string): Promise<Response> => {
  if (!path.endsWith('.html')) return isolated((await kept(path)) ?? (await fetched(event, path)))
  try {
    return isolated(await fetched(event, path))
  } catch (error) {
    const page = await kept(path)
    if (page === undefined) throw error
    return isolated(page)
  }
}

/** Fetches what is not kept yet. */
const keepAll = async (paths: readonly string[]): Promise<void> => {
  for (const path of paths) {
    if ((await kept(path)) !== undefined) continue
    const response = await fetch(urlOf(path))
    if (response.ok) await keep(path, response)
  }
}

/** Drops what an earlier build had and this one has not. */
const dropOthers = async (): Promise<void> => {
  const cache = await caches.open(cacheName)
  const own = new Set(Object.keys(files).map(keyOf))
  for (const { url } of await cache.keys()) if (!own.has(url)) await cache.delete(url)
}

self.addEventListener('install', (event) => {
  event.waitUntil(keepAll(Object.keys(files).filter((path) => !isLarge(path))).then(() => self.skipWaiting()))
})

self.addEventListener('activate', (event) => {
  event.waitUntil(dropOthers().then(() => self.clients.claim()))
})

self.addEventListener('message', (event) => {
  if (event.data !== 'keep models') return
  const wanted = Object.keys(files).filter((path) => isLarge(path) && !isForGpu(path))
  event.waitUntil(keepAll(wanted).catch(() => undefined)) // the next load tries again
})

self.addEventListener('fetch', (event) => {
  const path = pathOf(event.request)
  if (path !== undefined) event.respondWith(answer(event, path))
})
