/** @file Latents in false colour: main directions by their closed form, colours by what they stand for. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  amountColours,
  channelColours,
  diverging,
  mainColours,
  mainDirections,
  mixed,
} from '../../site/src/playground/latents/falseColour.ts'

describe('main directions', () => {
  /** Coordinates of a square's corners, centred. */
  const corners = [
    [1, 1, -1, -1],
    [1, -1, 1, -1],
  ]

  it('of axes that are stretched are those axes, the longest first', () => {
    const rows = [2, 5].map((by, i) => Float64Array.from(corners[i], (x) => by * x))
    const [first, second] = mainDirections(rows, 2)
    expect([first.power, second.power].map((power) => power / 4)).toEqual([
      expect.closeTo(25, 6),
      expect.closeTo(4, 6),
    ])
    expect([...first.along].map(Math.abs)).toEqual([5, 5, 5, 5].map((x) => expect.closeTo(x, 6)))
  })

  it('of turned axes keep their lengths: the eigenvalues of [[5, 4], [4, 5]] are 9 and 1', () => {
    const [a, b] = corners.map((row, i) => row.map((x) => (i === 0 ? 3 : 1) * x * Math.SQRT1_2))
    const rows = [a.map((x, i) => x + b[i]), a.map((x, i) => x - b[i])].map((row) => Float64Array.from(row))
    const [first, second] = mainDirections(rows, 2)
    expect(first.power / 4).toBeCloseTo(9, 6)
    expect(second.power / 4).toBeCloseTo(1, 6)
  })

  it('share out all of the variance among as many as there are channels', () => {
    const latents = fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 24, maxLength: 24 })
    fc.assert(
      fc.property(latents, (values) => {
        const { shares = [] } = mainColours(Float32Array.from(values), 3)
        const sum = shares.reduce((a, b) => a + b, 0)
        expect(sum === 0 || Math.abs(sum - 1) < 1e-3).toBe(true)
        for (const share of shares) expect(share).toBeGreaterThanOrEqual(0)
      }),
    )
  })
})

describe('colours', () => {
  it('of a flat latent are one grey, and of a channel its scale ends at its largest value', () => {
    expect([...mainColours(new Float32Array(8).fill(3), 2).pixels]).toEqual(Array(12).fill(128))
    const { pixels, most } = channelColours(Float32Array.from([9, 9, 0, -2, 1, 2]), 2, 1)
    expect(most).toBe(2)
    expect([...pixels]).toEqual([...diverging(-1), ...diverging(0.5), ...diverging(1)])
    expect(diverging(0)).toEqual([247, 247, 245])
  })

  it('of amounts run over the whole list, and less than nothing is nothing', () => {
    const ramp = Uint8Array.from([0, 0, 0, 10, 20, 30, 255, 255, 255])
    expect([...amountColours([-4, 0, 2, 4], 4, ramp)]).toEqual([0, 0, 0, 0, 0, 0, 10, 20, 30, 255, 255, 255])
    expect([...amountColours([0, 0], 0, ramp)]).toEqual([0, 0, 0, 0, 0, 0])
  })
})

it('mixes latents along the line between them', () => {
  const [a, b] = [Float32Array.from([0, 4]), Float32Array.from([2, 0])]
  expect([...mixed(a, b, 0)]).toEqual([0, 4])
  expect([...mixed(a, b, 0.25)]).toEqual([0.5, 3])
  expect([...mixed(a, b, 1)]).toEqual([2, 0])
})
