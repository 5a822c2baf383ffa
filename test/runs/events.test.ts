import { expect, it } from 'vitest'
import { atTenths } from '../../src/runs/events.ts'

it('tells every tenth once, however large the steps are', () => {
  const told = (steps: readonly number[], total: number): number[] => {
    const heard: number[] = []
    const tell = atTenths((percent, of) => {
      expect(of).toBe(total)
      heard.push(percent)
    })
    for (const done of steps) tell(done, total)
    return heard
  }
  const each = Array.from({ length: 1000 }, (_, i) => i + 1)
  expect(told(each, 1000)).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
  expect(told([1, 2, 3], 3)).toEqual([30, 60, 100])
  expect(told([7, 7], 7)).toEqual([100])
})
