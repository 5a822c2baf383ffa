/**
 * @file Hashes of what the program computes, so that a change of structure can be proven to change nothing: checkpoints,
 * evaluation, images and reports of the main job in smoke form, of a few steps of every variant, of a resumed run and
 * of the shipped model. The bits depend on the machine, so the hashes of two builds are made on the same one.
 *
 *   node tools/behaviour.mjs BUILD > before.json      BUILD holds dist/ and pretrained/
 *   node tools/behaviour.mjs BUILD before.json        says what differs, and fails if anything does
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join, resolve } from 'node:path'
import { promisify } from 'node:util'

const [build, before, only] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'behaviour-'))
const ul = async (...args) => {
  const cli = ['cli', 'commands'].map((name) => resolve(build, 'dist', name, 'main.mjs')).find(existsSync)
  const run = promisify(execFile)(process.execPath, [cli, ...args], { cwd: work, maxBuffer: 2 ** 28 })
  return (await run).stdout
}

/** What is measured by the clock, and where a run lies. */
const timeless = (text) =>
  text
    .replaceAll(work, '')
    .replaceAll(/"(imagesPerSecond|seconds)": ?[-\d.e]+,?/g, '')
    .replaceAll(/<tr><td>imagesPerSecond<\/td>.*?<\/tr>/g, '')
    // A word that older builds use.
    .replaceAll(/\ba (?=picture)/g, 'an ')
    .replaceAll(/picture/g, 'image')
    .replaceAll(/Picture/g, 'Image')

const hash = (content) => createHash('sha256').update(content).digest('hex').slice(0, 12)
const files = (dir) =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(dir, name)).isFile())
    // What says when and where it was made.
    .filter((name) => !name.includes('tensorboard') && !name.endsWith('provenance.json'))
    .sort()

const found = {}
const keep = (name, path) => {
  if (statSync(path).isDirectory()) {
    for (const file of files(path)) keep(`${name}/${file}`, join(path, file))
    return
  }
  const content = readFileSync(path)
  const isText = ['.json', '.jsonl', '.html', '.yaml', '.csv', '.md'].includes(extname(path))
  found[name] = hash(isText ? timeless(content.toString()) : content)
}

const few = [
  '--steps',
  '6',
  '--set',
  'train.logEvery=2',
  '--set',
  'train.batch=8',
  '--set',
  'train.stage2.batch=8',
]
const quick = [...few, '--set', 'sampler.steps=3', '--set', 'sampler.decoderSteps=2']
/** Every departure from the method that a configuration can name. */
const variants = {
  method: [],
  normalPrior: ['variant.prior=normal', 'variant.klWeight=0.01'],
  normalPriorLearned: ['variant.prior=normal', 'variant.klWeight=0.01', 'variant.variance=learned'],
  learned: ['variant.variance=learned'],
  stopGradient: ['variant.stopGradient=true', 'variant.klWeight=0.0001'],
  weightedPrior: ['variant.priorBias=1', 'sampler.generator=prior'],
  mse: ['variant.decoder=mse'],
  pixels: ['variant.encoder=pixels', 'latent.downsample=2', 'latent.channels=12', 'latent.logSnr0=10'],
  recompute: ['train.recompute=true'],
  noClasses: ['base.labelDropout=1', 'data.balance=false', 'sampler.kind=ddim'],
}

const parts = {
  smoke: async () => {
    await ul('train', 'quickstart', '--smoke', '--out', 'smoke')
    keep('smoke', join(work, 'smoke'))
    await ul('export', 'smoke', '--out', 'exported')
    keep('exported', join(work, 'exported'))
    found['smoke evaluate'] = hash(timeless(await ul('evaluate', 'smoke', '--count', '32', '--json')))
  },
  variants: async () => {
    for (const [name, set] of Object.entries(variants)) {
      await ul('train', 'study', ...quick, ...set.flatMap((s) => ['--set', s]), '--out', name)
      keep(name, join(work, name))
    }
  },
  resumed: async () => {
    const more = [
      ...quick.slice(2),
      '--steps',
      '12',
      '--set',
      'train.checkpointEvery=4',
      '--set',
      'train.keepCheckpoints=3',
    ]
    await ul('train', 'study', ...more, '--out', 'resumed')
    for (const stage of ['stage1', 'stage2'])
      rmSync(join(work, 'resumed/checkpoints', `${stage}-000000012`), { recursive: true })
    await ul('train', 'study', ...more, '--out', 'resumed')
    keep('resumed', join(work, 'resumed'))
  },
  emoji64: async () => {
    await ul('sample', 'emoji64', '-n', '9', '--out', 'emoji64.png')
    keep('emoji64 samples', join(work, 'emoji64.png'))
    await ul('reconstruct', 'emoji64', 'emoji64.png', '--out', 'pair.png', '--maps', 'maps.png')
    for (const file of ['pair.png', 'maps.png']) keep(`emoji64 ${file}`, join(work, file))
    await ul('encode', 'emoji64', 'emoji64.png', '--out', 'z.safetensors')
    keep('emoji64 latents', join(work, 'z.safetensors'))
    await ul('decode', 'emoji64', 'z.safetensors', '--out', 'decoded')
    keep('emoji64 decoded', join(work, 'decoded'))
    found['emoji64 evaluate'] = hash(timeless(await ul('evaluate', 'emoji64', '--count', '16', '--json')))
  },
}

try {
  for (const [name, part] of Object.entries(parts)) {
    if (only !== undefined && only !== name) continue
    await part()
    process.stderr.write(`${name}\n`)
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
if (before === undefined || before === '-') {
  process.stdout.write(`${JSON.stringify(found, null, 1)}\n`)
} else {
  const expected = Object.entries(JSON.parse(readFileSync(before, 'utf8')))
  const known = only === undefined ? expected : expected.filter(([name]) => name in found)
  const differing = known.filter(([name, value]) => found[name] !== value).map(([name]) => name)
  const added = Object.keys(found).filter((name) => !known.some(([other]) => other === name))
  for (const name of differing) process.stdout.write(`differs: ${name}\n`)
  for (const name of added) process.stdout.write(`new: ${name}\n`)
  process.stdout.write(`${known.length - differing.length} of ${known.length} are the same\n`)
  process.exitCode = differing.length > 0 ? 1 : 0
}
