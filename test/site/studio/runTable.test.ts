import { describe, expect, it } from 'vitest'
import { columnsOf, found, sorted, tellingColumns, updated } from '../../../site/src/studio/data/runTable.ts'
import { rowOf } from './fakeStudio.ts'

const rows = [
  rowOf('sweep/c_lf-16', {
    status: 'training',
    figures: { bitsPerPixel: 0.5, psnr: 30, ssim: 0.9 },
    progress: { stage: 'stage1', step: 90, steps: 100 },
  }),
  rowOf('sweep/c_lf-8', {
    figures: { bitsPerPixel: 0.25 },
    progress: { stage: 'stage2', step: 10, steps: 100 },
  }),
  rowOf('broken', { status: 'broken', name: '', fault: 'config.yaml: line 3 does not read' }),
  rowOf('sweep/c_lf-2', {
    status: 'stopped',
    figures: { bitsPerPixel: 0.1, rFD: 4 },
    progress: { stage: 'stage1', step: 5, steps: 100 },
  }),
]
const differing = {
  'decoder.lossFactor': { 'sweep/c_lf-16': '16', 'sweep/c_lf-8': '8', 'sweep/c_lf-2': '2' },
}
const columns = columnsOf({ runs: rows, differing })

const order = (key: string, isDown = false): string[] =>
  sorted(rows, columns, { key, isDown }).map(({ run }) => run)

describe('the table of runs', () => {
  it('has what every run has, the figures that one has, and the settings that differ', () => {
    expect(columns.map(({ key }) => key)).toEqual([
      ...['run', 'status', 'progress', 'name'],
      ...['figure:bitsPerPixel', 'figure:psnr', 'figure:rFD', 'set:decoder.lossFactor', 'figure:ssim'],
    ])
  })

  it('shows of some rows what tells them apart, and no empty column', () => {
    const keys = (runs: readonly number[]): string[] =>
      tellingColumns(
        columns,
        runs.map((i) => rows[i]),
      ).map(({ key }) => key)
    const always = ['run', 'status', 'progress', 'name']
    expect(keys([1])).toEqual([...always, 'figure:bitsPerPixel'])
    expect(keys([0, 1])).toEqual([
      ...always,
      ...['figure:bitsPerPixel', 'figure:psnr', 'set:decoder.lossFactor', 'figure:ssim'],
    ])
    expect(keys([2])).toEqual(always)
  })

  it('sorts numbers as numbers, also those in names and settings', () => {
    expect(order('set:decoder.lossFactor')).toEqual([
      'sweep/c_lf-2',
      'sweep/c_lf-8',
      'sweep/c_lf-16',
      'broken',
    ])
    expect(order('run')).toEqual(['broken', 'sweep/c_lf-2', 'sweep/c_lf-8', 'sweep/c_lf-16'])
  })

  it('has rows without a value last in both directions', () => {
    expect(order('figure:bitsPerPixel').at(-1)).toBe('broken')
    expect(order('figure:bitsPerPixel', true)).toEqual([
      'sweep/c_lf-16',
      'sweep/c_lf-8',
      'sweep/c_lf-2',
      'broken',
    ])
  })

  it('sorts progress by stage, then by its share', () => {
    expect(order('progress')).toEqual(['sweep/c_lf-2', 'sweep/c_lf-16', 'sweep/c_lf-8', 'broken'])
  })

  it('sorts by the run where an address names a column that is gone', () => {
    expect(order('set:no.more')).toEqual(order('run'))
  })

  it('finds rows by words of any column, whatever their case', () => {
    const names = (search: string): string[] => found(rows, columns, search).map(({ run }) => run)
    expect(names('LF-1 training')).toEqual(['sweep/c_lf-16'])
    expect(names('decoder.lossfactor=8')).toEqual(['sweep/c_lf-8'])
    expect(names('  ')).toHaveLength(4)
    expect(names('nowhere')).toEqual([])
  })

  it('takes what is new, what has changed and what is gone', () => {
    const next = updated(
      rows,
      [rowOf('new'), rowOf('broken', { status: 'stopped' })],
      ['sweep/c_lf-8', 'never'],
    )
    expect(next.map(({ run, status }) => `${run} ${status}`)).toEqual([
      ...['sweep/c_lf-16 training', 'broken stopped', 'sweep/c_lf-2 stopped', 'new finished'],
    ])
  })
})
