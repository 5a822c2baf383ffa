/** @file From presets, YAML and `--set` to a configuration, and what each mistake is answered with. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  applySettings,
  ConfigError,
  explainConfig,
  nearest,
  parseConfig,
  parseRunConfig,
  presetByName,
  showConfig,
} from '../../src/config/load.ts'
import { presets, smokeForm } from '../../src/config/presets.ts'
import {
  type Config,
  checkConfig,
  configDescriptions,
  configKeys,
  modelConfig,
} from '../../src/config/schema.ts'
import { latentOf } from '../../src/method/config.ts'
import { modelFlops } from '../../src/stages/info.ts'
import { expectTrainable } from '../../src/stages/possible.ts'

const quickstart = presetByName('quickstart')

const at = (config: Config, key: string): unknown =>
  key
    .split('.')
    .reduce<unknown>((tree, part) => (tree as Record<string, unknown> | undefined)?.[part], config)

/** The message of the ConfigError that `body` throws, which must be a single line. */
const complaint = (body: () => unknown): string => {
  try {
    body()
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    const { message } = error as ConfigError
    expect(message.split('\n')).toHaveLength(1)
    return message
  }
  throw new Error('expected a ConfigError')
}

const set = (...settings: string[]): (() => Config) => {
  return () => applySettings(quickstart, settings)
}

describe('--set', () => {
  it.each([
    ['data.source', 'folder', 'folder'],
    ['data.path', '/images/my cats', '/images/my cats'],
    ['data.size', '64', 64],
    ['latent.channels', '4', 4],
    ['latent.downsample', '8', 8],
    ['latent.logSnr0', '4.5', 4.5],
    ['decoder.lossFactor', '1.75', 1.75],
    ['decoder.bias', '-3', -3],
    ['train.stage1.steps', '7', 7],
    ['train.stage2.steps', '0', 0],
    ['train.batch', '24', 24],
    ['train.lr', '3e-4', 3e-4],
    ['sampler.steps', '12', 12],
  ])('%s=%s lands in the configuration and changes nothing else', (key, text, expected) => {
    const changed = set(`${key}=${text}`)()
    expect(at(changed, key)).toBe(expected)
    expect(at(quickstart, key)).not.toBe(expected)
    const others = configKeys().filter((other) => other !== key)
    expect(others).toHaveLength(configKeys().length - 1)
    for (const other of others) expect(at(changed, other), other).toEqual(at(quickstart, other))
  })

  it.each([
    ['photos #1', 'photos #1'],
    ['2024', '2024'],
    ['true', 'true'],
    ['[a] b: c', '[a] b: c'],
    ['{x}', '{x}'],
    ['C:\\new\\table', 'C:\\new\\table'],
    ['"a b"', 'a b'],
    ["'2024'", '2024'],
    ['a "b" c', 'a "b" c'],
    ['null', null],
  ])('data.path=%s is taken as it stands', (text, expected) => {
    expect(set(`data.path=${text}`)().data.path).toBe(expected)
    if (expected !== null) expect(set(`name=${text}`)().name).toBe(expected)
    const from = expected === null ? null : expected
    expect(set(`train.stage1.from=${text}`)().train.stage1.from).toBe(from)
  })

  it('in a file a path that reads as a number is told to be put in quotes', () => {
    expect(complaint(() => parseConfig('data:\n  path: 2024\n', 'own.yaml'))).toMatch(
      /^own\.yaml:2:3: 'data\.path': .*received number; put it in quotes$/,
    )
  })

  it('reads lists and booleans as YAML, and the last of two settings wins', () => {
    const changed = set('encoder.channels=[8, 16]', 'data.flip=false', 'train.batch=2', 'train.batch=3')()
    expect(changed.encoder.channels).toEqual([8, 16])
    expect(changed.data.flip).toBe(false)
    expect(changed.train.batch).toBe(3)
    expect(quickstart.data.flip).toBe(true)
  })

  it.each([
    ['decoder.lossfactor', 'decoder.lossFactor'],
    ['train.bach', 'train.batch'],
    ['lossFactor', 'decoder.lossFactor'],
    ['sampler.step', 'sampler.steps'],
    ['stage1.steps', 'train.stage1.steps'],
  ])('unknown key %s is answered with %s', (wrong, right) => {
    expect(complaint(set(`${wrong}=2`))).toBe(
      `--set ${wrong}=2: unknown key '${wrong}'; the nearest valid key is '${right}'`,
    )
  })

  it.each([
    ['train.batch=0', "'train.batch'"],
    ['train.batch=1.5', "'train.batch'"],
    ['train.batch=many', "'train.batch'"],
    ['train.lr=-1', "'train.lr'"],
    ['data.flip=maybe', "'data.flip'"],
    ['encoder.channels=[]', "'encoder.channels'"],
    ['encoder.channels=[8, x]', "'encoder.channels.1'"],
    ['base.widths=[64]', "'base.widths"],
    ['train.beta1=1.1', "'train.beta1'"],
    ['train.lr=.nan', "'train.lr'"],
    ['train.lr=[1', 'train.lr'],
    ['seed=a: b: c', 'seed'],
    ['data.size=', "'data.size'"],
  ])('--set %s is refused in one sentence that names the key', (setting, key) => {
    const message = complaint(set(setting))
    expect(message).toContain(`--set ${setting}: `)
    expect(message.slice(`--set ${setting}: `.length) + setting).toContain(key)
  })

  it('without a key or a group of keys is refused', () => {
    expect(complaint(set('train.batch'))).toContain('expected key=value')
    expect(complaint(set('=3'))).toContain('expected key=value')
    expect(complaint(set('train=3'))).toContain("unknown key 'train'")
  })
})

describe('YAML', () => {
  it('with preset: overrides that preset, and quickstart when it names none', () => {
    const config = parseConfig('preset: emoji64\nlatent: { channels: 5 }\nseed: 3\n', 'my.yaml')
    expect(config).toEqual({
      ...presets.emoji64,
      seed: 3,
      latent: { ...presets.emoji64.latent, channels: 5 },
    })
    expect(parseConfig('train: { batch: 3 }', 'my.yaml').train).toEqual({ ...quickstart.train, batch: 3 })
  })

  it('that is not YAML is reported with file, line and column', () => {
    expect(complaint(() => parseConfig('data:\n  size: [1, 2\n', 'my.yaml'))).toMatch(
      /^my\.yaml:3:1: this is not YAML: /,
    )
    expect(complaint(() => parseConfig('name: a\nname: b\n', 'my.yaml'))).toMatch(
      /^my\.yaml:2:1: this is not YAML: found a key for the second time/,
    )
  })

  it('with an unknown key or a wrong value is reported at that key', () => {
    expect(complaint(() => parseConfig('seed: 1\ndecoder:\n    lossfactor: 2\n', 'my.yaml'))).toBe(
      "my.yaml:3:5: unknown key 'decoder.lossfactor'; the nearest valid key is 'decoder.lossFactor'",
    )
    expect(complaint(() => parseConfig('train:\n  lr: fast\n', 'my.yaml'))).toMatch(
      /^my\.yaml:2:3: 'train\.lr': .*number/,
    )
    expect(complaint(() => parseConfig('train: 5\n', 'my.yaml'))).toMatch(/^my\.yaml:1:1: 'train': /)
  })

  it.each([
    ['', 'nothing'],
    ['# nothing\n', 'nothing'],
    ['- a\n- b\n', 'a list'],
    ['just text', 'the string just text'],
  ])('%j is not a mapping but %s', (text, found) => {
    expect(complaint(() => parseConfig(text, 'my.yaml'))).toBe(
      `my.yaml: expected a mapping of keys such as 'data:', found ${found}`,
    )
  })

  it('of another version is refused by name', () => {
    const message = complaint(() => parseConfig('version: 2\nname: x\n', 'old.yaml'))
    expect(message).toContain('old.yaml: this configuration has version 2, this program reads version 1')
  })
})

describe('presets', () => {
  const all = Object.entries(presets)

  it.each(all)('%s is valid, and so is its smoke form', (name, config) => {
    expect(checkConfig(config)).toEqual({ success: true, data: config })
    expect(checkConfig(smokeForm(config)).success).toBe(true)
    expect(config.name).toBe(name)
    expect(presetByName(name)).toBe(config)
  })

  it.each(all)("%s's smoke form trains, and is small", (_, config) => {
    const smoke = smokeForm(config)
    expect(() => expectTrainable(smoke)).not.toThrow()
    expect(smoke.data.size).toBeLessThanOrEqual(64)
    expect(smoke.train.batch).toBeLessThanOrEqual(16)
    expect(smoke.train.stage2.batch).toBeLessThanOrEqual(32)
  })

  it("quickstart's smoke form keeps its images and batches", () => {
    const { data, train } = presetByName('quickstart')
    const smoke = smokeForm(presetByName('quickstart'))
    expect(smoke.data).toEqual(data)
    expect([smoke.train.batch, smoke.train.stage2.batch]).toEqual([train.batch, train.stage2.batch])
  })

  it.each(all)('%s comes back from YAML as it was, with a path and without', (_, config) => {
    expect(parseConfig(showConfig(config), 'shown.yaml')).toEqual(config)
    const own: Config = { ...config, name: 'yes', data: { ...config.data, source: 'folder', path: 'a: #b' } }
    expect(parseConfig(showConfig(own), 'shown.yaml')).toEqual(own)
    // A whole one takes nothing from a preset: neither what it leaves out on purpose, nor what was cut off.
    for (const preset of Object.values(presets))
      expect(parseConfig(showConfig(preset), 'shown.yaml')).toEqual(preset)
    const cut = showConfig(config).split('\nsampler:')[0]
    expect(complaint(() => parseConfig(cut, 'cut.yaml'))).toMatch(/^cut\.yaml: 'sampler': /)
  })

  it('of an unknown name are refused with the nearest one', () => {
    expect(complaint(() => presetByName('quickstrat'))).toContain("the nearest preset is 'quickstart'")
    expect(complaint(() => parseConfig('preset: imagenet', 'my.yaml'))).toContain("'imagenet512'")
  })

  it.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])(
    '%s is neither a preset nor a key',
    (name) => {
      expect(complaint(() => presetByName(name))).toContain(`no preset or file called '${name}'`)
      expect(complaint(() => parseConfig(`preset: ${name}`, 'my.yaml'))).toContain(`called '${name}'`)
      expect(complaint(set(`${name}=1`))).toContain(`unknown key '${name}'`)
      expect(complaint(set(`data.${name}=1`))).toContain(`unknown key 'data.${name}'`)
      for (const text of [`${name}: 1`, `${name}: { size: 8 }`]) {
        expect(
          complaint(() => parseConfig(text, 'my.yaml')),
          text,
        ).toContain(`unknown key '${name}'`)
      }
      const nested = `data:\n  ${name}: 1`
      expect(complaint(() => parseConfig(nested, 'my.yaml'))).toContain(`unknown key 'data.${name}'`)
      expect(({} as { size?: number }).size).toBeUndefined()
    },
  )
})

/** Keys without which a configuration is whole. */
const mayBeLeftOut: readonly string[] = [
  'data.stride',
  'encoder.shortcut',
  'video.downsample',
  'video.kernel',
  'video.attention',
  'video.given',
  'video.givenShare',
  'video.imageShare',
  'latent.deviation',
  'decoder.deviation',
  'decoder.logSnr1',
  'decoder.draws',
  'base.uvit.channels',
  'base.uvit.convBlocks',
  'base.uvit.width',
  'base.uvit.blocks',
  'base.schedule',
  'base.givenDropout',
  'base.conditions',
  'sampler.givenGuidance',
  'train.optimizer',
  'train.accumulate',
  'train.stage2.latents',
  'train.stage2.givenShare',
  'train.stages',
  'student.steps',
  'student.teacherSteps',
  'student.generated',
]

describe('explainConfig', () => {
  it('says of every key what it is, and reads back', () => {
    expect([...configDescriptions].filter(([, text]) => text === undefined)).toEqual([])
    const shown = explainConfig(presetByName('quickstart'))
    for (const [key, text] of configDescriptions)
      if (!mayBeLeftOut.includes(key)) expect(shown).toContain(`# ${text}`)
    const { data, ...rest } = presetByName('quickstart')
    expect(parseConfig(shown, 'shown.yaml')).toEqual({ ...rest, data: { ...data, path: null } })
  })
})

describe('README', () => {
  it('shows a configuration file that reads', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
    const file = readme.split('```yaml\n')[1].split('```')[0]
    expect(parseConfig(file, 'mine.yaml')).toMatchObject({
      name: 'mine',
      data: { source: 'folder', path: 'photos', size: 64 },
    })
  })
})

describe('nearest', () => {
  it('is nothing when all are far away', () => {
    expect(nearest('zebra', ['train.lr', 'name'])).toBeUndefined()
  })

  it('compares without regard to case, whole names and last parts', () => {
    expect(nearest('TRAIN.LR', ['train.lr', 'train.beta1'])).toBe('train.lr')
    expect(nearest('lr', ['train.beta1', 'train.stage2.lr'])).toBe('train.stage2.lr')
    expect(nearest('same', ['name', 'same'])).toBe('same')
  })
})

describe('the paper’s presets', () => {
  const imagenet = presetByName('imagenet512')
  const kinetics = presetByName('kinetics600')

  it('imagenet512 has the paper’s sizes', () => {
    expect(imagenet.encoder.channels).toEqual([128, 256, 512, 512])
    expect(imagenet.prior).toMatchObject({ width: 1024, blocks: 8 })
    expect(imagenet.base).toMatchObject({ widths: [512, 1024], blocks: [6, 16] })
    const latent = latentOf(modelConfig(imagenet, 1000))
    expect(latent).toEqual({ channels: 32, frames: undefined, height: 32, width: 32 })
    const { networks, stages } = modelFlops(imagenet, 1000)
    expect(networks.map(({ network }) => network)).toEqual(['encoder', 'prior', 'decoder', 'base'])
    for (const { gflopsForward, gflopsTraining } of networks) {
      expect(gflopsForward).toBeGreaterThan(1)
      expect(gflopsTraining).toBeCloseTo(3 * gflopsForward, 9)
    }
    // 28.4 + 120.8 + 156.3 M; 267.6 M, as README.md says.
    const millions = networks.map(({ parameters }) => Number((parameters / 1e6).toFixed(1)))
    expect(millions).toEqual([28.4, 120.8, 156.3, 267.6])
    const [stage1, base] = [networks.slice(0, 3), networks.slice(3)].map((list) =>
      list.reduce((sum, { gflopsTraining }) => sum + gflopsTraining, 0),
    )
    const { batch, stage2 } = imagenet.train
    expect(stages[0].gflopsPerStep / (batch * stage1)).toBeCloseTo(1, 9)
    expect(stages[1].gflopsPerStep / (stage2.batch * base)).toBeCloseTo(1, 9)
  })

  it('kinetics600 has its latents, 16 frames of 128×128 down 4×8×8', () => {
    const latent = latentOf(modelConfig(kinetics, 600))
    expect(latent).toEqual({ channels: 32, frames: 4, height: 16, width: 16 })
    expect(kinetics.video).toMatchObject({ given: 5 })
    const { networks } = modelFlops(kinetics, 600)
    // 19.6 + 120.8 + 135.1 M; 267.2 M, as README.md says.
    const millions = networks.map(({ parameters }) => Number((parameters / 1e6).toFixed(1)))
    expect(millions).toEqual([19.6, 120.8, 135.1, 267.2])
  })
})

describe('the configuration that a run keeps', () => {
  it.each(Object.keys(presets))('of %s reads whole, and is refused wherever it is cut', (name) => {
    const text = showConfig(presets[name])
    expect(parseRunConfig(text, 'config.yaml')).toEqual(presets[name])
    for (let length = 0; length < text.length; length += text[length] === '\n' ? 1 : 3)
      expect(
        () => parseRunConfig(text.slice(0, length), 'config.yaml'),
        text.slice(length - 20, length),
      ).toThrow(ConfigError)
    expect(complaint(() => parseRunConfig(text.slice(0, -1), 'config.yaml'))).toBe(
      "config.yaml: it is cut short, its last line has no end; restore it, or remove it and run the same 'ul train' again, which writes it anew",
    )
    // Cut between two lines it has an end, and lacks a key.
    for (let end = text.indexOf('\n'); end < text.length - 1; end = text.indexOf('\n', end + 1))
      expect(() => parseRunConfig(text.slice(0, end + 1), 'config.yaml'), text.slice(0, end)).toThrow(
        ConfigError,
      )
  })

  it('fills in nothing from a preset, as files for training may have it', () => {
    for (const text of ['preset: quickstart\n', 'train: { lr: 1 }\n', 'seed: 3\n']) {
      expect(parseConfig(text, 'a.yaml').name).toBe('quickstart')
      expect(complaint(() => parseRunConfig(text, 'config.yaml'))).toMatch(
        /^config.yaml: it lacks 'version', with which a run's configuration begins; restore it/,
      )
    }
  })
})
