/**
 * @file Memory of the commands that take many images, by their number: peak resident memory, and what is alive at the end of
 * it once garbage is collected. The latter must not grow with the number; of the former V8 decides how much garbage it lets lie.
 *
 *   node tools/memory.mjs BUILD 16 1000 10000 50000      BUILD holds dist/; images of 16×16
 *
 * A small network, so that numbers of images and not of parameters are what is seen.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import sharp from 'sharp'

const [build, size, ...counts] = process.argv.slice(2)
/** Sides of the files, and pixels of a side of the image for each latent position. */
const [side, downsample] = [Math.max(64, Number(size)), Math.max(4, Number(size) / 16)]
const work = mkdtempSync(join(tmpdir(), 'memory-'))
const found = join(work, 'found')
const hook = join(work, 'hook.mjs')
writeFileSync(
  hook,
  `import { writeFileSync } from 'node:fs'
process.on('exit', () => {
  const peak = process.resourceUsage().maxRSS * 1024
  gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  writeFileSync(${JSON.stringify(found)}, [peak, heapUsed + arrayBuffers].map((n) => Math.round(n / 2 ** 20)).join(' / '))
})`,
)

/** Peak resident memory of a command, and what is alive at its end, in MiB. */
const memoryOf = async (...args) => {
  const cli = resolve(build, 'dist', 'commands', 'main.mjs')
  await promisify(execFile)(process.execPath, ['--expose-gc', '--import', hook, cli, ...args], {
    cwd: work,
    maxBuffer: 2 ** 28,
  })
  return readFileSync(found, 'utf8')
}

const makeImages = async (folder, count) => {
  mkdirSync(folder, { recursive: true })
  const images = await Promise.all(
    Array.from({ length: 64 }, (_, i) =>
      sharp(
        Uint8Array.from(
          { length: side * side * 3 },
          (_, k) => (k * 7 + Math.floor(k / (3 * side)) * i) % 256,
        ),
        { raw: { width: side, height: side, channels: 3 } },
      )
        .png()
        .toBuffer(),
    ),
  )
  for (let i = 0; i < count; i++)
    writeFileSync(join(folder, `${String(i).padStart(6, '0')}.png`), images[i % 64])
}

/** Features of more take most of an hour. */
const mostSamples = (count) => String(Math.min(Number(count), 4_000))

const settings = [
  ...[
    'data.source=folder',
    `data.size=${size}`,
    `latent.downsample=${downsample}`,
    'data.balance=false',
    'train.batch=8',
    'train.stage2.batch=8',
  ],
  ...['sampler.steps=2', 'sampler.decoderSteps=1', 'encoder.channels=[8, 16]', 'decoder.channels=[8, 16]'],
].flatMap((setting) => ['--set', setting])

for (const count of counts) {
  const [set, run, out] = ['set', 'run', 'out'].map((name) => join(work, `${name}-${count}`))
  await makeImages(join(set, 'train'), 64)
  await makeImages(join(set, 'validation'), Number(count))
  const images = join(set, 'validation')
  const train = ['train', 'quickstart', '--smoke', '--steps', '2', ...settings, '--set', `data.path=${set}`]
  await memoryOf(...train, '--out', run)
  const measured = {
    data: await memoryOf('data', 'folder', '--size', size, '--path', set),
    encode: null && (await memoryOf('encode', run, images, '--out', `${out}.safetensors`)),
    decode:
      null &&
      (await memoryOf('decode', run, `${out}.safetensors`, '--out', `${out}-decoded`, '--steps', '1')),
    sample: null && (await memoryOf('sample', run, '-n', count, '--steps', '2', '--out', `${out}-sampled/`)),
    reconstruct: await memoryOf('reconstruct', run, images, '--steps', '1', '--out', `${out}.png`),
    evaluate: await memoryOf('evaluate', run, '--count', count),
    other:
      null &&
      (await memoryOf(...['evaluate', run, '--count', '8', '--samples', mostSamples(count), '--no-bias'])),
  }
  process.stdout.write(
    `${count} images, MiB at the peak / alive at the end: ${Object.entries(measured)
      .map(([name, mib]) => `${name} ${mib}`)
      .join(', ')}\n`,
  )
  for (const place of [set, run, out, `${out}-decoded`, `${out}-sampled`])
    if (existsSync(place)) rmSync(place, { recursive: true })
}
rmSync(work, { recursive: true })
