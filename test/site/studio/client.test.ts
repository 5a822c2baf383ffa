import { describe, expect, it } from 'vitest'
import { openClient, StudioError, tokenIn } from '../../../site/src/studio/data/client.ts'
import { type FakeStudio, fakeStudio, rowOf } from './fakeStudio.ts'

const clientOf = (studio: FakeStudio, token = studio.token) =>
  openClient({ fetch: studio.fetch, token, newToken: async () => studio.token })

const refusal = (promise: Promise<unknown>): Promise<StudioError> =>
  promise.then(
    () => Promise.reject(new Error('it was answered')),
    (fault: StudioError) => fault,
  )

describe('the client', () => {
  it('asks with what is given, and with nothing else', async () => {
    const studio = fakeStudio()
    studio.logs.set('a b/c=1', { psnr: [[20, 1.5]] })
    const query = { run: 'a b/c=1', stage: 'stage1', metric: 'psnr', points: 300 }
    const series = await clientOf(studio).series({ ...query, from: 5 })
    expect(series).toEqual({ step: [20], min: [1.5], max: [1.5], mean: [1.5], count: 1 })
    expect(studio.asked[0].query).toEqual({ ...query, points: '300', from: '5' })
  })

  it('gives the sentence of a refusal and its status', async () => {
    const fault = await refusal(clientOf(fakeStudio()).run('gone'))
    expect(fault).toBeInstanceOf(StudioError)
    expect([fault.message, fault.status]).toEqual(['There is no run "gone".', 404])
  })

  it('says that the studio is not there, and what to do', async () => {
    const studio = fakeStudio()
    studio.isDown = true
    const fault = await refusal(clientOf(studio).runs())
    expect(fault.message).toMatch(/does not answer.*ul studio/)
    expect(fault.status).toBeNull()
  })

  it('says so when what answers is no studio', async () => {
    const page = async (): Promise<Response> => new Response('<!doctype html>')
    const client = openClient({ fetch: page, token: '', newToken: async () => '' })
    expect((await refusal(client.runs())).message).toMatch(/no JSON/)
    const proxy = async (): Promise<Response> => new Response('bad gateway', { status: 502 })
    const behind = openClient({ fetch: proxy, token: '', newToken: async () => '' })
    expect((await refusal(behind.runs())).message).toMatch(/status 502/)
  })

  it('gives up a request whose answer does not come', async () => {
    const never: typeof fetch = (_, init) =>
      new Promise((_, reject) => {
        init?.signal?.addEventListener('abort', () => reject(init.signal?.reason))
      })
    const client = openClient({ fetch: never, token: '', newToken: async () => '', patience: 5 })
    expect((await refusal(client.runs())).message).toMatch(/too long/)
    const ends = new AbortController()
    const given = refusal(client.runs(ends.signal))
    ends.abort()
    expect((await given).name).toBe('AbortError')
  })

  it('writes with the token of a server that was started anew, and asks for a new one once alone', async () => {
    const studio = fakeStudio('second')
    await clientOf(studio, 'first').stop({ run: 'a' })
    await expect(refusal(openStale(studio).stop({ run: 'a' }))).resolves.toMatchObject({ status: 403 })
    expect(studio.asked.map(({ token }) => token)).toEqual(['first', 'second', 'stale'])
    expect(studio.asked[1]).toMatchObject({ method: 'POST', path: '/api/stop', body: { run: 'a' } })
  })

  it('reads without a token', async () => {
    const studio = fakeStudio()
    studio.rows = [rowOf('a')]
    expect((await clientOf(studio).runs()).runs).toEqual([rowOf('a')])
    expect(studio.asked[0].token).toBeNull()
  })
})

const openStale = (studio: FakeStudio) =>
  openClient({ fetch: studio.fetch, token: 'stale', newToken: async () => 'stale' })

describe('tokenIn', () => {
  it('finds the token in a page, and nothing where there is none', () => {
    expect(tokenIn('<head><meta name="studio-token" content="aB3-_x"></head>')).toBe('aB3-_x')
    expect(tokenIn('<meta name="viewport" content="x">')).toBe('')
  })
})
