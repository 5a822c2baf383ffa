/** @file A model's files from a server that does not give them. */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, it } from 'vitest'
import { readerOf } from '../../site/src/playground/engine/modelFiles.ts'

const servers: Server[] = []
afterAll(() => {
  for (const server of servers) server.close()
})

/** Reads `config.yaml` from a server that answers so. */
const read = async (
  answer: RequestListener,
  { signal, live = () => undefined }: { signal?: AbortSignal; live?: () => void } = {},
): Promise<Uint8Array | null> => {
  const server = createServer(answer).listen(0, '127.0.0.1')
  servers.push(server)
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const folder = { kind: 'folder', name: 'own', url: `http://127.0.0.1:${port}/own/` } as const
  const file = await readerOf(folder, { signal: signal ?? new AbortController().signal, live })
  return file('config.yaml')
}

it('is whole, or missing', async () => {
  expect(await read((_, response) => response.end('name: own\n'))).toEqual(
    Uint8Array.from(Buffer.from('name: own\n')),
  )
  expect(await read((_, response) => response.writeHead(404).end())).toBeNull()
})

it('says in a sentence what is wrong, and of which file', async () => {
  await expect(read((_, response) => response.writeHead(500).end())).rejects.toThrow(
    /^config\.yaml: the server answered 500 to http:.*; check that it serves the file$/,
  )
  await expect(read(({ socket }) => socket.destroy())).rejects.toThrow(
    /^config\.yaml: it could not be fetched \(.*\); check the network and try again$/,
  )
  const breaksOff: RequestListener = (_, response) => {
    response.writeHead(200, { 'content-length': 5e6 })
    response.write(Buffer.alloc(2e6), () => setTimeout(() => response.destroy(), 50))
  }
  await expect(read(breaksOff)).rejects.toThrow(
    /^config\.yaml: it broke off after [012]\.\d MB \(.*\); check the network and try again$/,
  )
})

it('is left alone when it is cancelled', async () => {
  const control = new AbortController()
  const endless: RequestListener = (_, response) => response.write(Buffer.alloc(1000))
  const live = (): void => control.abort()
  await expect(read(endless, { signal: control.signal, live })).rejects.toMatchObject({ name: 'AbortError' })
})
