/** @file The model that an address names: `?model=URL`, a folder or a zip on the same server. */
import type { ModelSource } from '../engine/protocol.ts'

/**
 * Where the address says that the model is; null where it says nothing.
 * @throws Error when it is on another server, whose files this page may not read
 */
export const modelInAddress = ({
  href,
  origin,
  search,
}: Pick<Location, 'href' | 'origin' | 'search'>): ModelSource | null => {
  const given = new URLSearchParams(search).get('model')
  if (given === null || given === '') return null
  const folder = given.endsWith('/') ? given : `${given}/`
  if (!URL.canParse(folder, href))
    throw new Error(`model=${given}: this is no address; give the folder of a model on this server`)
  const url = new URL(folder, href)
  if (url.origin !== origin)
    throw new Error(
      `model=${given}: a model on another server (${url.origin}) is not read; give one on ${origin}, or download it and drop it here`,
    )
  const name = decodeURIComponent(url.pathname.split('/').filter(Boolean).at(-1) ?? 'model')
  return { kind: 'folder', name, url: url.href }
}
