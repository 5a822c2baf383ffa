/** @file Usage of the command line: help, dry runs, exit codes and one sentence for each mistake. Nothing is trained. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { applySettings, parseConfig, presetByName } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import { inWork, sentenceOf, ul } from './ul.ts'

const commands = [
  'train',
  'sample',
  'reconstruct',
  'encode',
  'decode',
  'evaluate',
  'sweep',
  'report',
  'data',
  'info',
  'profile',
  'plan',
  'features',
]

describe('ul --help', () => {
  it('names every command', async () => {
    const { code, stdout } = await ul(['--help'])
    expect(code).toBe(0)
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'))
  })

  it.each(commands)('of %s shows an example of itself', async (command) => {
    const { code, stdout, stderr } = await ul([command, '--help'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(new RegExp(`\nExample:\n {2}ul ${command} \\S`))
  })
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
    expect(parseConfig(stdout, 'stdout')).toEqual(expected)
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
    [['train', 'quickstart', '--set', 'train.lr=[1'], /--set train\.lr=\[1: the value is not YAML/],
    [['plan', '.', '--bias', '2'], /a bias or a loss factor alone has no rate; give both/],
    [['plan', '.', '--bits-per-pixel', '1', '--budget', '1e15'], /the budget decides the rate/],
    [['evaluate', 'run', '--clip'], /--clip needs --samples N/],
    [['train', 'wrong.yaml'], /^wrong\.yaml:2:3: 'train\.lr': /],
  ])('%j', async (args, expected) => {
    writeFileSync(inWork('wrong.yaml'), 'train:\n  lr: fast\n')
    expect(await sentenceOf(2, [...args, ...(args[0] === 'train' ? ['--out', 'never'] : [])])).toMatch(
      expected,
    )
    expect(existsSync(inWork('never'))).toBe(false)
  })

  it.each([
    [['tain'], "unknown command 'tain'"],
    [['train', 'quickstart', '--stpes', '3'], "unknown option '--stpes'"],
    [['train'], "missing required argument 'preset or file.yaml'"],
    [['train', 'quickstart', '--stage', '3'], 'Allowed choices are 1, 2, all.'],
    [['train', 'quickstart', '--steps', '0'], 'expected a whole number from 1 on.'],
    [['plan'], "missing required argument 'dir'"],
    [['plan', 'runs', '--bits-per-pixel', 'many'], 'expected a number.'],
    [['plan', 'runs', '--budget', '-1'], 'expected a number above 0.'],
    [['encode', 'run', 'a.png'], "required option '--out <file>' not specified"],
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

describe('exit code 1: it was possible and failed', () => {
  it.each([[['sample', 'missing']], [['decode', 'missing', 'z', '--out', 'd']]])(
    '%j: no such run',
    async (args) => {
      expect(await sentenceOf(1, args)).toMatch(
        /^missing: there is no config\.yaml, so this is not a run; train/,
      )
    },
  )

  it('a plan without runs, or without the directory', async () => {
    expect(await sentenceOf(1, ['plan', 'missing'])).toMatch(/^missing: there is no such directory; give run/)
    mkdirSync(inWork('empty'))
    expect(await sentenceOf(1, ['plan', 'empty'])).toMatch(/^there are no runs, but a rate law takes two/)
  })

  it('a preset that does not train yet, a folder that is not named, a folder in place of a file', async () => {
    expect(await sentenceOf(1, ['train', 'kinetics600'])).toMatch(/only pictures train so far/)
    const folder = ['train', 'quickstart', '--set', 'data.source=folder', '--out', 'unnamed']
    expect(await sentenceOf(1, folder)).toMatch(/"folder" has no path; pass/)
    mkdirSync(inWork('folder'))
    expect(await sentenceOf(2, ['train', 'folder'])).toMatch(/no preset or file called 'folder'/)
  })
})
