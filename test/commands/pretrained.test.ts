/** @file The model that comes with the package: it fits, works by its name, and reconstructs as its card says. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import type { Measured } from '../../src/metrics/figures.ts'
import { evaluationIn } from '../../src/runs/results.ts'
import { inWork, jsonOf, startUl } from './ul.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const shipped = join(root, 'pretrained', 'emoji64')
const assets = join(root, 'node_modules/@lobehub/fluent-emoji-3d/assets')

/** Every eighteenth of the 291 held-out images (src/data/formats/emojiSplit.ts), but for a flag. */
const heldOut = [
  ...[
    '0034-fe0f-20e3',
    '1f33c',
    '1f412',
    '1f468-1f3ff-200d-1f4bb',
    '1f46e-1f3fb',
    '1f474-1f3fd',
    '1f487-1f3fd',
  ],
  ...[
    '1f50d',
    '1f694',
    '1f6b4-1f3ff-200d-2642-fe0f',
    '1f6cc',
    '1f936-1f3fb',
    '1f9d1-1f3fc-200d-1f4bb',
    '1f9de',
  ],
  ...['1faf2', '2795'],
].map((name) => join(assets, `${name}.webp`))

describe('emoji64', () => {
  it('has fewer than 16 MB and a card with its data, licence, figures and command', () => {
    expect(statSync(join(shipped, 'weights.safetensors')).size).toBeLessThan(16e6)
    const card = readFileSync(join(shipped, 'README.md'), 'utf8')
    const { psnr, bitsPerPixel } = evaluationIn(shipped)!
    expect(card).toContain(`PSNR ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB`)
    expect(card).toContain(`${bitsPerPixel.mean.toFixed(3)} ± ${bitsPerPixel.error.toFixed(3)} bits/pixel`)
    for (const said of [
      /licence: .*MIT/,
      /- samples: distance/,
      /ul train config\.yaml/,
      /training images of 64×64/,
    ])
      expect(card).toMatch(said)
  })

  it('reconstructs held-out images as well and as cheaply as its figures say', async () => {
    const out = inWork('pairs.png')
    const lines = await jsonOf(['reconstruct', 'emoji64', ...heldOut, '--out', out])
    const known = evaluationIn(shipped)!
    for (const name of ['psnr', 'bitsPerPixel'] as const) {
      const { mean, error } = lines.at(-1)![name] as Measured
      expect(Math.abs(mean - known[name].mean), name).toBeLessThan(2.25 * error)
    }
    const { width, height } = await sharp(out).metadata()
    expect([width, height]).toEqual([8 * 64 + 7 * 2, 4 * 64 + 2 * 2 + 6])
  })

  it('generates images of something on white, different ones', async () => {
    const out = inWork('drawn.png')
    await jsonOf(['sample', 'emoji64', '-n', '4', '--steps', '12', '--out', out], startUl)
    const { data, info } = await sharp(out).removeAlpha().raw().toBuffer({ resolveWithObject: true })
    // The least of its colours: a yellow face is bright in red.
    const at = (x: number, y: number): number => {
      const from = (y * info.width + x) * 3
      return Math.min(...data.subarray(from, from + 3))
    }
    const side = Math.floor(info.width / 2)
    const tiles = [0, 1, 2, 3].map((i) => {
      const [left, top] = [(i % 2) * side + 2, Math.floor(i / 2) * side + 2]
      return Array.from({ length: 60 ** 2 }, (_, k) => at(left + (k % 60), top + Math.floor(k / 60)))
    })
    for (const tile of tiles) {
      const dark = tile.filter((value) => value < 200).length
      expect(dark).toBeGreaterThan(100)
      expect(tile.filter((value) => value > 230).length).toBeGreaterThan(400)
    }
    expect(new Set(tiles.map((tile) => tile.join())).size).toBe(4)
  })
})
