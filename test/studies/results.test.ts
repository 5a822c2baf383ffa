/** @file The tables in docs/experiments are what the committed results of the runs give. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parseSweep } from '../../src/config/sweepFile.ts'
import { compareReport } from '../../src/studies/compareReport.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tables = readdirSync(join(root, 'docs/experiments')).filter((name) => name.endsWith('.csv'))

describe('docs/experiments', () => {
  it.each(tables)('%s is the report of its runs', async (table) => {
    const name = table.replace('.csv', '')
    const file = join(root, 'experiments', `${name}.yaml`)
    const sweep = parseSweep(readFileSync(file, 'utf8'), file)
    const { csv } = await compareReport([join(root, 'experiments/results', name)], sweep)
    expect(csv).toBe(readFileSync(join(root, 'docs/experiments', table), 'utf8'))
  })
})
