/** @file Runs in directories and as lines of one file: the same runs, and each found once. */
import { readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { applySettings, presetByName, showConfig } from '../../src/config/load.ts'
import { findRuns } from '../../src/runs/findRuns.ts'
import { type Provenance, provenanceNow, provenanceText } from '../../src/runs/provenance.ts'
import { commonDirectory, resultLines } from '../../src/runs/resultLines.ts'
import { provenanceIn, writeEvaluation, writeQuality } from '../../src/runs/results.ts'
import type { Run } from '../../src/runs/run.ts'
import { changesFrom, leavesOf, withChanges } from '../../src/runs/settings.ts'
import { temporaryFolder, writeFiles } from '../data/temporary.ts'
import { evaluationOf, info, qualityOf } from './written.ts'

const configText = (...settings: string[]): string =>
  showConfig(applySettings(presetByName('study'), settings))
const json = (value: object): string => JSON.stringify(value)

/** Two arms, the first with a base model on its stage 1, a run on the stage 1 of a run elsewhere, and an unfinished one. */
const writeRuns = async (): Promise<string> => {
  const root = await temporaryFolder()
  const stage1 = evaluationOf(0.25)
  const base = { ...stage1, baseBitsPerPixel: { mean: 0.2, error: 0.1 } }
  await writeFiles(root, {
    'runs/a/seed-0/config.yaml': configText('decoder.lossFactor=2'),
    'runs/a/seed-0/run.json': json(info),
    'runs/a/seed-0/evaluation.json': json(stage1),
    'runs/a/seed-0/quality.json': json(qualityOf(9, null)),
    'runs/a/seed-0/checkpoints/stage1-1/config.yaml': 'not a run',
    'runs/a/seed-0/small/config.yaml': configText('decoder.lossFactor=2', 'train.stage1.from=..'),
    'runs/a/seed-0/small/run.json': json({ ...info, pictures: 'abc', skipped: ['x: y'] }),
    'runs/a/seed-0/small/evaluation.json': json(base),
    'runs/a/seed-0/small/quality.json': json({
      ...qualityOf(9, 30),
      protocol: { ...qualityOf(9, 30).protocol, seed: 3 },
    }),
    'runs/b-2/seed-7/config.yaml': configText('seed=7', 'base.widths=[64, 96]', 'data.path=x'),
    'runs/b-2/seed-7/run.json': json(info),
    'runs/b-2/seed-7/evaluation.json': json({ ...stage1, newer: { mean: 1 } }),
    'runs/borrowed/config.yaml': configText('name=mine', 'train.stage1.from=../../elsewhere'),
    'runs/borrowed/run.json': json(info),
    'runs/borrowed/quality.json': json(qualityOf(null, 5)),
    'elsewhere/config.yaml': configText('train.stage1.steps=7', 'seed=5'),
    'elsewhere/evaluation.json': json(stage1),
  })
  return root
}

const contentOf = (run: Run): object => ({
  config: run.config(),
  info: run.info(),
  stage1: run.stage1().config,
  evaluation: run.evaluation(),
  quality: run.quality(),
  provenance: run.provenance(),
})

describe('a file of results', () => {
  it('gives every run of the directories back, whole', async () => {
    const root = join(await writeRuns(), 'runs')
    writeEvaluation(join(root, 'a/seed-0'), evaluationOf(0.25), 'webgpu')
    const written = findRuns([root])
    expect(written.map(({ path }) => relative(root, path))).toEqual([
      'a/seed-0',
      'a/seed-0/small',
      'b-2/seed-7',
      'borrowed',
    ])
    const file = join(root, 'all.jsonl')
    await writeFiles(root, { 'all.jsonl': resultLines(written, root) })
    const read = findRuns([file])
    expect(read.map(contentOf)).toStrictEqual(written.map(contentOf))
    expect(read[0].provenance().evaluation).toMatchObject({ machine: { device: 'webgpu' } })
    expect(read.map(({ path }) => path)).toEqual(written.map(({ path }) => join(file, relative(root, path))))
    // Runs of one stage 1 are known by where it was trained.
    expect(read.map((run) => relative(file, run.stage1().dir))).toEqual(
      written.map((run) => relative(root, run.stage1().dir)),
    )
    // A file made of the file is the same.
    expect(resultLines(read, file)).toBe(readFileSync(file, 'utf8'))
  })

  it('says what is shared once: the preset, the data and the figures of a stage 1', async () => {
    const root = join(await writeRuns(), 'runs')
    const arms = [
      { name: 'a', set: [] },
      { name: 'b 2', set: [] },
    ]
    const sweep = {
      ...{ title: '', preset: 'study', set: [], seeds: 1, samples: 8, arms, plots: [] },
      bases: [{ name: 'small', set: [] }],
    }
    const [head, , small, other, borrowed] = resultLines(findRuns([root]), root, sweep)
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, Record<string, unknown>>)
    expect(head).toEqual({ version: 1, preset: presetByName('study'), info })
    expect(small).toMatchObject({
      path: 'a/seed-0/small',
      arm: 'a',
      base: 'small',
      seed: 0,
      stage1: 'a/seed-0',
    })
    expect(small.settings).toEqual({ 'decoder.lossFactor': 2, 'train.stage1.from': '..' })
    const { baseBitsPerPixel, ...asStage1 } = evaluationOf(1)
    expect(small.evaluation).toEqual({
      asStage1: Object.keys(asStage1),
      baseBitsPerPixel: { mean: 0.2, error: 0.1 },
    })
    expect(Object.keys(small.quality)).toEqual(['asStage1', 'protocol', 'generation'])
    expect(other).toMatchObject({ arm: 'b 2', base: null, seed: 7 })
    expect(other.settings).toEqual({ 'data.path': 'x', 'base.widths': [64, 96] })
    expect(borrowed).toMatchObject({ arm: null, base: null, stage1: '../elsewhere' })
    expect(borrowed.stage1Settings).toEqual({ seed: 5, 'train.stage1.steps': 7 })
  })

  it('may be named in part, and its runs are found once', async () => {
    const root = join(await writeRuns(), 'runs')
    await writeFiles(root, { 'all.jsonl': resultLines(findRuns([root]), root) })
    const file = join(root, 'all.jsonl')
    const found = (...paths: string[]) => findRuns(paths.map((path) => join(root, path))).length
    expect(found('all.jsonl/a')).toBe(2)
    expect(found('all.jsonl/a/seed-0/small')).toBe(1)
    expect(found('all.jsonl/a', 'all.jsonl')).toBe(4)
    expect(found('a', '.')).toBe(4)
    // The name of a folder is not the beginning of another's.
    expect(() => found('all.jsonl/b')).toThrow(
      `${file}/b: ${file} has no run there; give ${file}, or a folder`,
    )
    expect(() => found('none.jsonl')).toThrow(
      /none\.jsonl: there is no such directory; give run directories, /,
    )
  })

  it('is refused by the line that does not read', async () => {
    const root = join(await writeRuns(), 'runs')
    const lines = resultLines(findRuns([root]), root)
    const [head, first] = lines.split('\n') as [string, string]
    const refused = async (text: string): Promise<void> => {
      await writeFiles(root, { 'bad.jsonl': text })
      for (const run of findRuns([join(root, 'bad.jsonl')])) contentOf(run)
    }
    await expect(refused('')).rejects.toThrow(
      /bad\.jsonl: line 1: this is not JSON; make the file again from its/,
    )
    await expect(refused(first)).rejects.toThrow(/bad\.jsonl: line 1: .*version/)
    await expect(refused(`${head}\n\n{"path":3}\n`)).rejects.toThrow(/bad\.jsonl: line 3: 'path': .*string/)
    await expect(refused(lines.replace('"decoder.lossFactor":2', '"decoder.lossfactor":2'))).rejects.toThrow(
      /bad\.jsonl.a.seed-0.*unknown key 'decoder\.lossfactor'/,
    )
    await expect(refused(lines.replace('"count":2', '"count":null'))).rejects.toThrow(
      /bad\.jsonl.a.seed-0: evaluation: 'count': .*; make the file again/,
    )
    expect(() => resultLines([], root)).toThrow(/there are no runs/)
  })

  it('begins its paths where the given directories meet', () => {
    expect(commonDirectory(['/x/runs'])).toBe('/x/runs')
    expect(commonDirectory(['/x/runs/a', '/x/runs/b'])).toBe('/x/runs')
    expect(commonDirectory(['/x/runs', '/x/runs/b'])).toBe('/x/runs')
    expect(commonDirectory(['/x/run', '/x/runs'])).toBe('/x')
  })
})

describe('who measured', () => {
  it('is written beside the figures, each with its own, and older runs have none', async () => {
    const dir = await temporaryFolder()
    expect(provenanceIn(dir)).toEqual({})
    process.env.UL_COMMIT = 'abc'
    writeEvaluation(dir, evaluationOf(1), 'cpu')
    process.env.UL_COMMIT = 'def'
    writeQuality(dir, qualityOf(1, 2), 'cuda')
    delete process.env.UL_COMMIT
    const { evaluation, quality } = provenanceIn(dir)
    expect([evaluation!.commit, quality!.commit]).toEqual(['abc', 'def'])
    expect([evaluation!.machine!.device, quality!.machine!.device]).toEqual(['cpu', 'cuda'])
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    expect(quality!.version).toBe(version)
    expect(Math.abs(Date.parse(quality!.date!) - Date.now())).toBeLessThan(60_000)
    // Figures are the same bytes wherever they are measured.
    expect(readFileSync(join(dir, 'quality.json'), 'utf8')).toBe(
      `${JSON.stringify(qualityOf(1, 2), null, 2)}\n`,
    )
    await writeFiles(dir, { 'provenance.json': '{"quality": 1}' })
    expect(() => provenanceIn(dir)).toThrow(/provenance\.json: 'quality': .*; remove the file/)
    rmSync(join(dir, 'provenance.json'))
  })

  it('is in words to the day, without what is not known', () => {
    const { machine, ...now } = provenanceNow('cpu')
    expect(machine!.cpu).not.toBe('')
    const known: Provenance = {
      ...now,
      commit: 'a..b',
      version: '1.2.3',
      date: '2026-11-24T10:00:00.000Z',
      machine: { cpu: 'C', device: 'cpu' },
    }
    expect(provenanceText(known)).toBe('version 1.2.3; code of a..b; 2026-11-24; C, cpu')
    expect(provenanceText({ ...known, date: '2026-11-24/2026-11-25', commit: null, machine: null })).toBe(
      'version 1.2.3; 2026-11-24/2026-11-25',
    )
  })
})

describe('settings as dotted keys', () => {
  it('rebuild the tree that they were taken from', () => {
    const tree = { a: 1, b: { c: [1, 2], d: { e: null } } }
    expect(leavesOf(tree)).toEqual([
      ['a', 1],
      ['b.c', [1, 2]],
      ['b.d.e', null],
    ])
    const other = { a: 1, b: { c: [1, 3], d: { e: null, f: 'x' } } }
    const changes = changesFrom(tree, other)
    expect(changes).toEqual({ 'b.c': [1, 3], 'b.d.f': 'x' })
    expect(withChanges(tree, changes)).toEqual(other)
    expect(withChanges(tree, { 'x.y.z': 1 })).toEqual({ ...tree, x: { y: { z: 1 } } })
  })
})
