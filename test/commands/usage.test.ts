/** @file Usage of the command line: help, dry runs, exit codes and one sentence for each mistake. Nothing is trained. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { applySettings, parseConfig, presetByName } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import { inWork, sentenceOf, startUl, ul } from './ul.ts'

const commands = [
  'train',
  'distill',
  'sample',
  'reconstruct',
  'encode',
  'decode',
  'evaluate',
  'export',
  'push',
  'pull',
  'sweep',
  'report',
  'data',
  'info',
  'profile',
  'runs',
  'plan',
  'studio',
  'features',
  'doctor',
]

describe('ul --help', () => {
  it('names every command', async () => {
    const { code, stdout } = await ul(['--help'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/\nExample:\n {2}ul train quickstart --smoke /)
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'))
  })

  it.each(commands)('of %s shows an example of itself', async (command) => {
    const { code, stdout, stderr } = await ul([command, '--help'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(new RegExp(`\nExample:\n {2}ul ${command} \\S`))
  })
})

describe('the built command in a process of its own', () => {
  it.each([
    ['help', 0, ['--help']],
    ['help of a command below a command', 0, ['features', 'build', '--help']],
    ['an answer', 0, ['info', 'study']],
    ['an answer for programs', 0, ['info', 'study', '--json']],
    ['what failed', 1, ['sample', 'missing']],
    ['what is not possible', 2, ['train', 'quickstrat']],
    ['what is no command', 2, ['tain']],
  ])('says and ends with what the call does: %s', async (_, code, args) => {
    const finished = await startUl(args)
    expect(finished).toEqual(await ul(args))
    expect(finished.code).toBe(code)
  })
})

describe('the name of a run', () => {
  it.each(['..', 'a/b', 'a\\b', '"a\\u001bb"', 'x'.repeat(201)])(
    'that cannot name a folder of runs/ asks for another, or for --out: %j',
    async (name) => {
      const sentence = await sentenceOf(2, ['train', 'quickstart', '--set', `name=${name}`])
      expect(sentence).toMatch(
        /^name is ".*", which cannot name a folder of runs\/; set name to one part of a path, or give --out$/,
      )
    },
  )
})

describe('ul train --dry-run', () => {
  it('prints the resolved configuration as YAML that reads back, and writes nothing', async () => {
    const settings = ['decoder.lossFactor=2', 'encoder.channels=[8, 16]']
    const sets = settings.flatMap((s) => ['--set', s])
    const { code, stdout, stderr } = await ul([
      ...['train', 'emoji64', '--smoke', '--steps', '7', '--seed', '3', '--dry-run', '--out', 'never'],
      ...sets,
    ])
    expect([code, stderr]).toEqual([0, ''])
    const steps = ['train.stage1.steps=7', 'train.stage2.steps=7', 'seed=3']
    const expected = applySettings(smokeForm(presetByName('emoji64')), [...steps, ...settings])
    expect(parseConfig(stdout, 'stdout')).toEqual({ ...expected, data: { ...expected.data, path: null } })
    expect(stdout).toMatch(/^ {2}path: null # file or folder/m)
    expect(existsSync(inWork('never'))).toBe(false)
    // What it prints is a configuration file.
    writeFileSync(inWork('printed.yaml'), stdout)
    expect((await ul(['train', 'printed.yaml', '--dry-run'])).stdout).toBe(stdout)
  })
})

describe('exit code 2: what was asked for is not possible', () => {
  it.each([
    [['train', 'quickstrat'], /the nearest preset is 'quickstart'/],
    [['train', 'constructor', '--dry-run'], /no preset or file called 'constructor'/],
    [['train', '__proto__', '--dry-run'], /no preset or file called '__proto__'/],
    [['train', 'quickstart', '--set', 'train.bach=3'], /the nearest valid key is 'train\.batch'/],
    [
      ['train', 'quickstart', '--set', 'train.lr=[1'],
      /--set train\.lr=\[1: this is not YAML: found something that lacks/,
    ],
    [['plan', '.', '--bias', '2'], /a bias or a loss factor alone has no rate; give both/],
    [['plan', '.', '--bits-per-pixel', '1', '--budget', '1e15'], /the budget decides the rate/],
    [['evaluate', 'run', '--clip'], /--clip needs --samples N/],
    [
      ['distill', 'emoji64', '--dry-run', '--steps', '3', '--teacher-steps', '4'],
      /not a multiple of student\.steps 3/,
    ],
    [['train', 'wrong.yaml'], /^wrong\.yaml:2:3: 'train\.lr': /],
    [
      ['train', 'quickstart', '--set', 'zzzzz=1'],
      /unknown key 'zzzzz'; 'ul train quickstart --dry-run' prints all/,
    ],
    [['info', 'zebra'], /called 'zebra'; presets are quickstart, study, /],
    [
      ['info', '.'],
      /^\.: this directory holds no run \(there is no config\.yaml in it\); give a run, a conf/,
    ],
    [
      ['train', 'kinetics600'],
      /data\.source is kinetics, but data\.path is missing; give a folder of lists and videos/,
    ],
    [['train', 'quickstart', '--set', 'data.source=folder'], /data\.path is missing; give a folder/],
    [['train', 'quickstart', '--set', 'data.size=30', '--dry-run'], /data\.size 30 is not a multiple/],
    [
      ['train', 'quickstart', '--set', 'decoder.patch=3', '--dry-run'],
      /is not 3 \(the patch\) times a power/,
    ],
    [
      ['info', 'quickstart', '--set', 'data.size=30'],
      /data\.size 30 is not a multiple of latent\.downsample 4/,
    ],
    [
      ['profile', 'study', '--compute', 'tf32'],
      /^--compute tf32: TF32 is arithmetic of NVIDIA's tensor cores; add --device cuda/,
    ],
    [
      ['profile', 'study', '--compute', 'float16'],
      /^--compute float16: the CPU multiplies in float32 only; /,
    ],
    [
      ['train', 'study', '--set', 'prior.headWidth=50', '--dry-run'],
      /headWidth 50 does not divide the width 96/,
    ],
    [['data', 'folder'], /data\.path is missing; give a folder of images by .*--path PATH/],
    [['data', 'emoji', '--size', '100000'], /data\.size is 100000; set a whole number of pixels from 4 to/],
    [['data', 'emoji', '--set', 'data.size=3'], /data\.size is 3; /],
    [
      ['train', 'sweep.yaml'],
      /^sweep\.yaml: this is a sweep, with arms; give it to 'ul sweep', without --grid/,
    ],
    [['sweep', 'sweep.yaml', '--grid', 'seed=1,2'], /this is a sweep, with arms; give it to 'ul sweep', wi/],
    [['sweep', 'sweep.yaml', '--out', 'never', '--dry-run'], /seed-0: data\.path "nowhere" does not exist; /],
    [['sweep', 'sweep.yaml', '--out', 'never'], /seed-0: data\.path "nowhere" does not exist; /],
    [
      ['sweep', 'study', '--grid', 'data.size=32,30', '--out', 'never', '--dry-run'],
      /size-30.seed-0: study: data\.size 30 is not a multiple/,
    ],
    [
      ['sweep', 'missing.yaml'],
      /^missing\.yaml: there is no such file; give one like those in experiments\//,
    ],
    [['sweep', 'wrong.yaml', '--out', 'never'], /^wrong\.yaml: 'title': /],
    [['sweep', 'stduy', '--grid', 'seed=1,2', '--out', 'never'], /the nearest preset is 'study'/],
    [
      ['sweep', 'study', '--grid', 'train.lr', '--out', 'never'],
      /^--grid train\.lr: expected key=value,value/,
    ],
    [
      ['sweep', 'study', '--grid', 'train.lr=1,1', '--out', 'never'],
      /^--grid: 'lr=1' and 'lr=1' would share/,
    ],
    [
      ['sweep', 'study', '--grid', 'train.bach=1', '--out', 'never'],
      /the nearest valid key is 'train\.batch'/,
    ],
    [['report', '.', '--experiment', 'missing.yaml'], /^missing\.yaml: there is no such file/],
    [['report', '.', '--experiment', 'wrong.yaml'], /^wrong\.yaml: 'title': /],
    [['push', 'emoji64', 'mine'], /^"mine": a model of the Hub is called owner\/name, /],
    [['pull', '../mine', '--out', 'never'], /^"\.\.\/mine": a model of the Hub is called owner\/name, /],
    [['export', 'emoji64'], /^export: give --out <dir> for .*, --onnx <dir> for .*, or both$/],
    [
      ['export', 'emoji64', '--out', 'never', '--weights', 'beside'],
      /^--weights: .*; name their folder by --onnx/,
    ],
    [
      ['export', 'emoji64', '--out', 'never', '--onnx', './never'],
      /^--onnx \.\/never: --out is the same folder/,
    ],
  ])('%j', async (args, expected) => {
    writeFileSync(inWork('wrong.yaml'), 'train:\n  lr: fast\n')
    writeFileSync(
      inWork('sweep.yaml'),
      'title: t\npreset: study\narms: [{ name: a }, { name: b, set: [data.source=npy, data.path=nowhere] }]\n',
    )
    expect(await sentenceOf(2, [...args, ...(args[0] === 'train' ? ['--out', 'never'] : [])])).toMatch(
      expected,
    )
    expect(existsSync(inWork('never'))).toBe(false)
  })

  it.each([
    [['tain'], "unknown command 'tain'"],
    [['train', 'quickstart', '--stpes', '3'], "unknown option '--stpes'"],
    [['train'], "missing required argument 'preset or file.yaml'"],
    [['train', 'quickstart', '--stage', '3'], 'Allowed choices are 1, decoder, student, 2, all.'],
    [['train', 'quickstart', '--steps', '0'], 'expected a whole number from 1 on.'],
    [['plan'], "missing required argument 'dir'"],
    [['plan', 'runs', '--bits-per-pixel', 'many'], 'expected a number.'],
    [['plan', 'runs', '--budget', '-1'], 'expected a number above 0.'],
    [['encode', 'run', 'a.png'], "required option '--out <file>' not specified"],
    [['sweep'], "missing required argument 'experiment.yaml or preset'"],
    [['sweep', 'study', '--samples', '7'], 'expected a whole number from 8 on.'],
    [['sweep', 'study', '--shard', '3/2'], 'expected i/n with i from 1 to n, as in 1/2.'],
    [['push', 'emoji64'], "missing required argument 'owner/name'"],
    [['sweep', 'study', '--seeds', '0'], 'expected a whole number from 1 on.'],
    [['report'], "missing required argument 'dir'"],
    [['export', 'run', '--onnx', 'o', '--precision', 'int8'], 'Allowed choices are float32, float16.'],
    [['reconstruct', 'run', 'a.png', '--maps'], "option '--maps <file>' argument missing"],
    [['evaluate', 'run', '--samples', '7'], 'expected a whole number from 8 on.'],
    [['evaluate', 'run', '--samples', '8', '--guidance', 'much'], 'expected a number.'],
  ])('%j: an error, then the help', async (args, expected) => {
    const { code, stdout, stderr } = await ul(args)
    expect([code, stdout]).toEqual([2, ''])
    const [first, ...help] = stderr.split('\n')
    expect(first).toMatch(/^error: /)
    expect(first).toContain(expected)
    expect(help.join('\n')).toContain('Usage: ul')
    expect(stderr).not.toMatch(/^ +at /m)
  })
})

describe('files that are no configuration', () => {
  it('are refused in one short line', async () => {
    writeFileSync(inWork('binary.dat'), Buffer.from([0x89, 0x50, 0, 0, 1, 2]))
    writeFileSync(inWork('long.yaml'), `a: [${'x'.repeat(5000)}: {`)
    writeFileSync(inWork('prose.md'), `${'words '.repeat(1000)}\n`)
    expect(await sentenceOf(2, ['info', 'binary.dat'])).toBe(
      'binary.dat: this is not a text file; give a file of YAML',
    )
    expect(await sentenceOf(2, ['sweep', 'binary.dat'])).toMatch(/not a text file/)
    for (const file of ['long.yaml', 'prose.md']) {
      expect((await sentenceOf(2, ['train', file])).length, file).toBeLessThan(200)
      expect((await sentenceOf(2, ['sweep', file])).length, file).toBeLessThan(200)
    }
  })
})

describe('exit code 1: it was possible and failed', () => {
  it.each([
    [['sample', 'missing']],
    [['decode', 'missing', 'z', '--out', 'd']],
    [['export', 'missing', '--out', 'never']],
    [['evaluate', 'missing', '--samples', '8']],
    [['reconstruct', 'missing', 'a.png', '--maps', 'm.png']],
  ])('%j: no such run', async (args) => {
    expect(await sentenceOf(1, args)).toMatch(
      /^missing: there is no config\.yaml, so this is not a run; train/,
    )
  })

  it('a plan without runs, or without the directory', async () => {
    expect(await sentenceOf(1, ['plan', 'missing'])).toMatch(/^missing: there is no such directory; give run/)
    mkdirSync(inWork('empty'))
    expect(await sentenceOf(1, ['plan', 'empty'])).toMatch(/^there are no runs, but a rate law takes two/)
  })

  it('a report without finished runs, or without the directory', async () => {
    mkdirSync(inWork('unfinished'))
    expect(await sentenceOf(1, ['report', 'unfinished'])).toMatch(
      /^unfinished: no finished runs \(with quality\.json\); make some with 'ul sweep'/,
    )
    expect(await sentenceOf(1, ['report', 'missing'])).toMatch(/^missing: there is no such directory; /)
    expect(existsSync(inWork('comparison.html'))).toBe(false)
  })

  it('a sweep whose feature network is missing, before anything is trained', async () => {
    const args = ['sweep', 'study', '--grid', 'seed=1,2', '--features', 'missing.onnx', '--out', 'never']
    expect(await sentenceOf(1, args)).toBe(
      'features: missing.onnx does not exist; give the path of an ONNX file',
    )
    expect(existsSync(inWork('never'))).toBe(false)
  })
})
