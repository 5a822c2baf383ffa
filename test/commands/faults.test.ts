/** @file What a run's directory may suffer: damaged files, two writers, divergence. What is promised: docs/reliability.md. */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors, writeSafetensors } from '../../src/files/safetensors.ts'
import {
  checkpointOf,
  differingTensors,
  type Finished,
  inWork,
  type JsonLine,
  jsonLines,
  makeImages,
  metricsOf,
  sentenceOf,
  startUl,
  tinySteps,
  tinyTraining,
  ul,
} from './ul.ts'

let images = ''
const whole = inWork('whole')

beforeAll(async () => {
  images = await makeImages('images')
  expect(await ul(tinyTraining(images, whole))).toMatchObject({ code: 0 })
})

/** A copy of the finished run. */
const copied = (name: string): string => {
  cpSync(whole, inWork(name), { recursive: true })
  return inWork(name)
}

const resumed = async (run: string, ...more: string[]): Promise<JsonLine[]> => {
  const finished = await ul([...tinyTraining(images, run), ...more, '--json'])
  expect(finished).toMatchObject({ code: 0, stderr: '' })
  return jsonLines(finished)
}

const warningsIn = (lines: readonly JsonLine[]): string[] =>
  lines.filter(({ event }) => event === 'warning').map(({ text }) => String(text))

/** Changes one bit of the value in the middle of a tensor of a checkpoint. */
const damage = (checkpoint: string, tensor: string): string => {
  const file = join(checkpoint, 'state.safetensors')
  const bytes = readFileSync(file)
  const head = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE())))
  const [begin, end] = head[tensor].data_offsets
  bytes[8 + Number(bytes.readBigUInt64LE()) + begin + Math.floor((end - begin) / 2)] ^= 1
  writeFileSync(file, bytes)
  return file
}

describe('a changed value', () => {
  it('in the newest checkpoints is found by a resume, which goes back and ends in the tensors of an unbroken run', async () => {
    const run = copied('values')
    const files = ['stage1', 'stage2'].map((stage, i) =>
      damage(checkpointOf(run, stage, tinySteps), ['moment1/encoder.in.weight', 'param/base.out.weight'][i]),
    )
    const lines = await resumed(run)
    const warnings = warningsIn(lines)
    for (const [i, file] of files.entries()) {
      expect(warnings.filter((text) => text.startsWith(file))).toEqual([
        expect.stringMatching(
          new RegExp(`is not what was saved .*; stage${i + 1}-000000010 is used instead$`),
        ),
      ])
    }
    expect(lines.filter(({ event }) => event === 'step')).toHaveLength(tinySteps)
    expect(differingTensors(run, whole)).toEqual([])
    expect(metricsOf(run)).toEqual(metricsOf(whole))
  })

  it('is found by whatever uses the run: sample, evaluate, reconstruct, encode and export', async () => {
    const run = copied('used')
    const file = damage(checkpointOf(run, 'stage1', tinySteps), 'ema/decoder.out.weight')
    const picture = join(images, 'discs', 'discs-1.png')
    const uses = [
      ['sample', run, '-n', '2', '--out', inWork('used.png')],
      ['evaluate', run, '--count', '2'],
      ['reconstruct', run, picture, '--out', inWork('used-pairs.png')],
      ['encode', run, picture, '--out', inWork('used.safetensors')],
      ['export', run, '--out', inWork('used-export')],
    ]
    for (const use of uses) {
      const { code, stderr } = await ul(use)
      expect(code, use[0]).toBe(0)
      const said = stderr.split('\n').filter((line) => line.includes(file))
      expect(said, use[0]).toHaveLength(1)
      expect(said[0]).toMatch(/^warning: .*is not what was saved .*; stage1-000000010 is used instead$/)
    }
    damage(checkpointOf(run, 'stage1', 10), 'ema/encoder.out.weight')
    expect(await sentenceOf(1, uses[0])).toMatch(
      /no checkpoint of stage1 reads: .*stage1-000000020.*stage1-000000010.*; restore one, or remove these/,
    )
  })

  it('in an export is an error; so is a renamed tensor, and one that lost its checksums', async () => {
    const out = inWork('exported')
    expect(await ul(['export', whole, '--out', out])).toMatchObject({ code: 0 })
    const file = join(out, 'weights.safetensors')
    const before = readFileSync(file)
    const sampled = ['sample', out, '-n', '2', '--out', inWork('exported.png')]
    expect(await ul(sampled)).toMatchObject({ code: 0, stderr: '' })
    const { tensors, metadata } = readSafetensors(file)
    const { 'base.out.weight': moved, ...rest } = tensors
    const changed = new Uint16Array(moved.data as Uint16Array)
    changed[0] ^= 1
    const nan = new Uint16Array(moved.data as Uint16Array)
    nan[1] = 0x7e00
    const damages: readonly (readonly [RegExp, () => void])[] = [
      [
        /tensor "base.out.weight" is not what was saved/,
        () =>
          writeSafetensors(file, { ...tensors, 'base.out.weight': { ...moved, data: changed } }, metadata),
      ],
      [
        /tensor "base.oux.weight" was never saved there/,
        () => writeSafetensors(file, { ...rest, 'base.oux.weight': moved }, metadata),
      ],
      [
        /checksums: this is not JSON; export the run again/,
        () => writeSafetensors(file, tensors, { format: 'unified-latents 2' }),
      ],
      [/it says format undefined, expected "unified-latents 2"/, () => writeSafetensors(file, tensors)],
      [
        /tensor "base.out.weight" holds numbers that are not finite/,
        () =>
          writeSafetensors(
            file,
            { ...tensors, 'base.out.weight': { ...moved, data: nan } },
            { format: 'unified-latents' },
          ),
      ],
      [/truncated|ends at byte/, () => truncateSync(file, before.length - 2)],
    ]
    for (const [sentence, damaged] of damages) {
      damaged()
      expect(await sentenceOf(1, sampled)).toMatch(sentence)
      writeFileSync(file, before)
    }
    // Files of older versions have no checksums.
    writeSafetensors(file, tensors, { format: 'unified-latents' })
    expect(await ul(sampled)).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('files beside the checkpoints', () => {
  const damages: readonly (readonly [string, (text: Buffer) => Uint8Array | string])[] = [
    ['cut', (text) => text.subarray(0, Math.min(50, text.length - 1))],
    ['of another kind', () => 'null\n'],
    ['overwritten', (text) => text.map((byte, i) => (i % 7 === 3 ? byte ^ 0x55 : byte))],
  ]

  it.each(damages)('that are %s stop no resume, and are said where they are read', async (kind, change) => {
    const run = copied(`side ${kind}`)
    writeFileSync(join(run, 'quality.json'), '{}')
    writeFileSync(join(run, 'provenance.json'), '{"quality": {"commit": null, "version": null}}')
    const events = readdirSync(join(run, 'tensorboard', 'stage2')).map((name) =>
      join('tensorboard', 'stage2', name),
    )
    const side = [
      'evaluation.json',
      'quality.json',
      'provenance.json',
      'run.json',
      'metrics.jsonl',
      ...events,
    ]
    for (const name of side) writeFileSync(join(run, name), change(readFileSync(join(run, name))))
    // So that stage 2 is trained on: its log is opened for that alone.
    rmSync(checkpointOf(run, 'stage2', tinySteps), { recursive: true })
    const warnings = warningsIn(await resumed(run))
    for (const name of ['provenance.json', 'run.json', 'metrics.jsonl', ...events])
      expect(
        warnings.filter((text) => text.startsWith(join(run, name))),
        name,
      ).toHaveLength(1)
    expect(differingTensors(run, whole)).toEqual([])
    for (const name of ['run.json', 'evaluation.json']) {
      const timeless = (dir: string): string =>
        readFileSync(join(dir, name), 'utf8').replace(/"imagesPerSecond": [\d.e+-]+/, '')
      expect(timeless(run)).toBe(timeless(whole))
    }
    expect(await ul(['sample', run, '-n', '1', '--out', inWork('side.png')])).toMatchObject({
      code: 0,
      stderr: '',
    })
  })

  it('run.json that was cut is named by what needs it, and the remedy that is said works', async () => {
    const run = copied('cut run.json')
    truncateSync(join(run, 'run.json'), 50)
    expect(await sentenceOf(1, ['evaluate', run])).toBe(
      `${join(run, 'run.json')}: this is not JSON; run its 'ul train' again, which writes it anew`,
    )
    await resumed(run)
    const { code, stderr } = await ul(['evaluate', run, '--count', '2'])
    expect(code).toBe(0)
    expect(stderr).not.toContain('run.json')
  })

  it('config.yaml that was cut is an error, and the remedy that is said works', async () => {
    const run = copied('cut config.yaml')
    const file = join(run, 'config.yaml')
    const text = readFileSync(file, 'utf8')
    truncateSync(file, text.length - 2)
    const cut = `${file}: it is cut short, its last line has no end; restore it, or remove it and run the same 'ul train' again`
    expect(await sentenceOf(2, ['sample', run])).toContain(cut)
    expect(await sentenceOf(2, tinyTraining(images, run))).toContain(cut)
    rmSync(file)
    await resumed(run)
    expect(readFileSync(file, 'utf8')).toBe(text)
    expect(differingTensors(run, whole)).toEqual([])
  })

  it('config.yaml of another configuration than was trained is refused by a resume and said by use', async () => {
    const run = copied('other config.yaml')
    const file = join(run, 'config.yaml')
    writeFileSync(file, readFileSync(file, 'utf8').replace('clipNorm: 1', 'clipNorm: 2'))
    const other =
      /stage1-000000020: it was trained with another configuration \(hash \w{16}\) than .*config.yaml/
    const command = tinyTraining(images, run)
    const finished = await ul([...command, '--set', 'train.clipNorm=2'])
    expect(finished.code).toBe(2)
    expect(finished.stderr).toMatch(other)
    const { code, stderr } = await ul(['sample', run, '-n', '1', '--out', inWork('other.png')])
    expect(code).toBe(0)
    expect(stderr).toMatch(other)
  })
})

describe('one writer', () => {
  it('trains at a time: the second says so, fails and touches nothing', async () => {
    const run = inWork('twice')
    const second: Promise<Finished>[] = []
    const listings: string[][] = []
    const first = await startUl([...tinyTraining(images, run), '--json'], (line) => {
      const { event, step } = JSON.parse(line) as JsonLine
      if (event !== 'step' || second.length > 0 || step !== 3) return
      listings.push(readdirSync(run).sort())
      second.push(startUl(tinyTraining(images, run)))
    })
    const [{ code, stdout, stderr }] = await Promise.all(second)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(
      /^ul: \S*twice: another process writes there \(process \d+ on \S+ since \S+, at work now\); wait until it ends, stop it, or give another directory\n$/,
    )
    expect(listings[0]).toContain('.lock')
    expect(first).toMatchObject({ code: 0 })
    expect(existsSync(join(run, '.lock'))).toBe(false)
    expect(differingTensors(run, whole)).toEqual([])
    expect(metricsOf(run)).toEqual(metricsOf(whole))
  })

  it('keeps evaluate --samples and export out of a directory, and lets readers in', async () => {
    const run = inWork('guarded')
    const others: Promise<Finished>[] = []
    await startUl([...tinyTraining(images, run), '--json'], (line) => {
      const { event, stage, step } = JSON.parse(line) as JsonLine
      if (event !== 'step' || stage !== 'stage2' || others.length > 0 || step !== 3) return
      others.push(startUl(['evaluate', run, '--samples', '8']))
      others.push(startUl(['reconstruct', run, images, '--out', inWork('guarded.png')]))
    })
    const [measured, read] = await Promise.all(others)
    // It may have come when all was over, on a busy machine.
    if (measured.code !== 0) expect(measured.stderr).toMatch(/^ul: .*another process writes there/)
    expect(read.code).toBe(0)
  })
})

describe('training that diverges', () => {
  /** The command that a sentence advises, in place of the one that was given. */
  const advised = (sentence: string, command: readonly string[]): string[] => {
    const flags = sentence.match(/run the same command with (.*)$/)![1]
    const words = [...flags.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare)
    return [...command, ...words]
  }

  it.each([
    ['stage1', 'train.lr=1e3', []],
    ['stage2', 'train.stage2.lr=1e5', ['stage1']],
  ])(
    'in %s fails in one sentence without a checkpoint, and what it advises can be followed to the end',
    async (stage, setting, kept) => {
      const run = inWork(`diverged ${stage}`)
      const command = [...tinyTraining(images, run), '--set', setting]
      let last = await ul(command)
      expect(last.code).toBe(1)
      const [sentence] = last.stderr.trimEnd().split('\n').slice(-1)
      expect(sentence).toMatch(
        new RegExp(
          `^ul: .*${stage} has diverged: the last \\d+ updates, up to step 20, had no finite gradient \\(loss .*\\) and changed nothing; nothing is saved, run the same command`,
        ),
      )
      const saved = existsSync(join(run, 'checkpoints')) ? readdirSync(join(run, 'checkpoints')) : []
      expect([...new Set(saved.map((name) => name.split('-')[0]))]).toEqual(kept)
      for (let rounds = 0; last.code === 1 && rounds < 9; rounds++) {
        const said = last.stderr.trimEnd().split('\n').at(-1)!
        expect(said).toContain(`${stage} has diverged`)
        last = await ul(advised(said, command))
      }
      expect(last.code).toBe(0)
    },
  )

  it('and is stopped saves nothing of it, and says so', async () => {
    const run = inWork('stopped diverging')
    const command = [...tinyTraining(images, run), '--set', 'train.lr=1e3', '--json']
    const { code, stdout, stderr } = await startUl(command, (line, child) => {
      const { event, skipped } = JSON.parse(line) as JsonLine
      if (event === 'step' && skipped === 2) child.kill('SIGINT')
    })
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' })
    expect(stdout).toContain('stage1: the last updates were skipped, so that no step after 0 is saved')
    expect(existsSync(join(run, 'checkpoints'))).toBe(false)
  })
})
