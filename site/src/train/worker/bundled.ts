/** @file The bundled pictures as the site has them (plugins/bundledPictures.ts). */
import { type Pictures, parseList } from '../../../../src/tab/page.ts'

/** @throws one sentence when they cannot be fetched */
const fetched = async (name: string): Promise<Response> => {
  const url = new URL(`../pictures/${name}`, self.location.href)
  const response = await fetch(import.meta.env.DEV ? `/pictures/${name}` : url).catch((cause: Error) => {
    throw new Error(
      `the bundled pictures cannot be fetched (${cause.message}); check the network and try again`,
    )
  })
  if (response.ok && response.body !== null) return response
  throw new Error(
    `the bundled pictures cannot be fetched (${name}: ${response.status}); build the site again`,
  )
}

/** The bundled emoji, of one skin tone, at the size of the preset. */
export const bundledPictures = async (): Promise<Pictures> => {
  const list = parseList(await (await fetched('emoji.json')).text(), 'emoji.json')
  const { body } = await fetched('emoji.pixels')
  const inflated = new Response(body?.pipeThrough(new DecompressionStream('deflate-raw')))
  return { list, pixels: new Uint8Array(await inflated.arrayBuffer()) }
}
