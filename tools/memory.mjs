/**
 * @file Peak resident memory of the commands that take many images, by their number: it must not grow with it.
 *
 *   node tools/memory.mjs BUILD 1000 10000 50000      BUILD holds dist/
 *
 * A small network (16×16 images), so that numbers of images and not of parameters are what is seen.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import sharp from 'sharp'

const [build, ...counts] = process.argv.slice(2)
const work = mkdtempSync(join(tmpdir(), 'memory-'))
const peak = join(work, 'peak')
const hook = join(work, 'hook.mjs')
writeFileSync(
  hook,
  `import { writeFileSync } from 'node:fs'
process.on('exit', () => writeFileSync(${JSON.stringify(peak)}, String(process.resourceUsage().maxRSS)))`,
)

/** Peak resident memory of a command in MiB. */
const peakOf = async (...args) => {
  const cli = resolve(build, 'dist', 'commands', 'main.mjs')
  await promisify(execFile)(process.execPath, ['--import', hook, cli, ...args], {
    cwd: work,
    maxBuffer: 2 ** 28,
  })
  return Math.round(Number(readFileSync(peak, 'utf8')) / 1024)
}

const makeImages = async (folder, count) => {
  mkdirSync(folder, { recursive: true })
  const images = await Promise.all(
    Array.from({ length: 64 }, (_, i) =>
      sharp(
        Uint8Array.from({ length: 64 * 64 * 3 }, (_, k) => (k * 7 + Math.floor(k / 192) * i) % 256),
        { raw: { width: 64, height: 64, channels: 3 } },
      )
        .png()
        .toBuffer(),
    ),
  )
  for (let i = 0; i < count; i++)
    writeFileSync(join(folder, `${String(i).padStart(6, '0')}.png`), images[i % 64])
}

const settings = [
  ...['data.source=folder', 'data.size=16', 'data.balance=false', 'train.batch=8', 'train.stage2.batch=8'],
  ...['sampler.steps=2', 'sampler.decoderSteps=1'],
].flatMap((setting) => ['--set', setting])

for (const count of counts) {
  const [set, run, out] = ['set', 'run', 'out'].map((name) => join(work, `${name}-${count}`))
  await makeImages(join(set, 'train'), 64)
  await makeImages(join(set, 'validation'), Number(count))
  const images = join(set, 'validation')
  const train = ['train', 'quickstart', '--smoke', '--steps', '2', ...settings, '--set', `data.path=${set}`]
  await peakOf(...train, '--out', run)
  const peaks = {
    encode: await peakOf('encode', run, images, '--out', `${out}.safetensors`),
    decode: await peakOf('decode', run, `${out}.safetensors`, '--out', `${out}-decoded`, '--steps', '1'),
    sample: await peakOf('sample', run, '-n', count, '--steps', '2', '--out', `${out}-sampled/`),
    reconstruct: await peakOf('reconstruct', run, images, '--steps', '1', '--out', `${out}.png`),
    evaluate: await peakOf('evaluate', run, '--count', count),
  }
  process.stdout.write(
    `${count} images: ${Object.entries(peaks)
      .map(([name, mib]) => `${name} ${mib} MiB`)
      .join(', ')}\n`,
  )
  for (const place of [set, run, out, `${out}-decoded`, `${out}-sampled`])
    if (existsSync(place)) rmSync(place, { recursive: true })
}
rmSync(work, { recursive: true })
