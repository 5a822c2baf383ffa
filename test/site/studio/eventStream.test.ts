import { describe, expect, it } from 'vitest'
import { openEventStream, type StreamState } from '../../../site/src/studio/data/eventStream.ts'
import type { StudioEvent } from '../../../src/studio/api.ts'
import { FakeConnection, handClock, rowOf } from './fakeStudio.ts'

const openFake = () => {
  const connections: FakeConnection[] = []
  const events: StudioEvent[] = []
  const states: StreamState[] = []
  const clock = handClock()
  const stream = openEventStream({
    open: () => {
      const connection = new FakeConnection()
      connections.push(connection)
      return connection
    },
    onEvent: (event) => events.push(event),
    onState: (state) => states.push(state),
    after: clock.after,
  })
  return { connections, events, states, clock, stream }
}

const grown: StudioEvent = { event: 'lines', run: 'a', stage: 'stage1', step: 40 }

describe('the stream of events', () => {
  it('tells every kind of event as it was sent', () => {
    const { connections, events, states } = openFake()
    const sent: StudioEvent[] = [
      { event: 'runs', rows: [rowOf('a')] },
      grown,
      { event: 'gone', runs: ['a'] },
      { event: 'resync' },
    ]
    connections[0].opens()
    for (const event of sent) connections[0].sends(event)
    expect(events).toEqual(sent)
    expect(states).toEqual(['connecting', 'open'])
  })

  it('leaves it to the browser to resume a connection that broke', async () => {
    const { connections, events, states, clock } = openFake()
    connections[0].opens()
    connections[0].breaks(0)
    await clock.pass(60_000)
    expect(connections).toHaveLength(1)
    connections[0].opens()
    connections[0].sends(grown)
    expect(events).toEqual([grown])
    expect(states).toEqual(['connecting', 'open', 'lost', 'open'])
  })

  it('opens one that the browser gave up, ever more seldom, and asks for everything then', async () => {
    const { connections, events, clock } = openFake()
    connections[0].opens()
    const waits = [500, 1000, 2000, 4000, 8000, 8000]
    for (const [i, wait] of waits.entries()) {
      connections[i].breaks(2)
      await clock.pass(wait - 1)
      expect(connections).toHaveLength(i + 1)
      await clock.pass(1)
      expect(connections).toHaveLength(i + 2)
    }
    connections[6].opens()
    expect(events).toEqual([{ event: 'resync' }])
    connections[6].breaks(2)
    await clock.pass(500) // it was open: the first wait again
    expect(connections).toHaveLength(8)
  })

  it('opens nothing after it was closed', async () => {
    const { connections, stream, clock } = openFake()
    connections[0].breaks(2)
    stream.close()
    await clock.pass(60_000)
    expect(connections).toHaveLength(1)
    expect(connections[0].readyState).toBe(2)
  })
})
