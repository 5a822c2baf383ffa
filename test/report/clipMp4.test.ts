/** @file Clips as H.264, through ffmpeg: read back by it, and what happens without it or when it is left early. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { float32, type HostTensor, sizeOf } from '../../src/engine/host/tensor.ts'
import { isRunning } from '../../src/files/process.ts'
import { expectClipFile, writeClip } from '../../src/report/clip.ts'
import { temporaryFolder } from '../data/temporary.ts'

const folder = await temporaryFolder()
const installed = spawnSync('ffmpeg', ['-version']).status === 0

/** A wave that moves in the light of one colour, byte by byte: H.264 halves colours in both directions. */
const wave = (c: number, t: number, y: number, x: number): number =>
  Math.round([190, 70, 110][c] + 60 * Math.sin((x + 2 * y) / 6 + t / 2))

const [T, H, W] = [6, 20, 30]
const clip = ((): HostTensor => {
  const shape = [1, 3, T, H, W]
  const bytes = Array.from({ length: sizeOf(shape) }, (_, i) =>
    wave(Math.floor(i / (W * H * T)), Math.floor(i / (W * H)) % T, Math.floor(i / W) % H, i % W),
  )
  return float32(
    shape,
    bytes.map((b) => b / 127.5 - 1),
  )
})()

/** A program in ffmpeg's place, of which only its version is right. */
const fake = (name: string, script: string): string => {
  const file = join(folder, name)
  writeFileSync(file, `#!/bin/sh\n[ "$1" = -version ] && exit 0\n${script}\n`)
  chmodSync(file, 0o755)
  return file
}

const videos = (): string[] => readdirSync(folder).filter((name) => name.includes('.mp4'))

afterEach(() => vi.unstubAllEnvs())

describe.skipIf(!installed)('.mp4', () => {
  it('read back by ffmpeg, has the frames within a few steps, with even sides', async () => {
    const file = join(folder, 'a:b.mp4')
    expectClipFile(file)
    await writeClip(file, clip, { scale: 1, fps: 12.5 })
    expect(videos()).toEqual(['a:b.mp4'])
    const raw = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1']
    const back = execFileSync('ffmpeg', ['-v', 'error', '-i', `file:${file}`, ...raw])
    expect(back.length).toBe(T * H * W * 3)
    let worst = 0
    for (let i = 0; i < back.length; i++) {
      const [c, x, y] = [i % 3, Math.floor(i / 3) % W, Math.floor(i / (3 * W)) % H]
      worst = Math.max(worst, Math.abs(back[i] - wave(c, Math.floor(i / (3 * W * H)), y, x)))
    }
    // The colours of another matrix would be off by more.
    expect(worst).toBeLessThan(8)
    const asked = ['-show_entries', 'stream=codec_name,pix_fmt,r_frame_rate,nb_frames,width,height']
    const probe = execFileSync('ffprobe', ['-v', 'error', ...asked, '-of', 'json', `file:${file}`], {
      encoding: 'utf8',
    })
    expect(JSON.parse(probe)).toMatchObject({
      streams: [
        {
          codec_name: 'h264',
          pix_fmt: 'yuv420p',
          r_frame_rate: '25/2',
          nb_frames: `${T}`,
          width: W,
          height: H,
        },
      ],
    })
    await writeClip(join(folder, 'odd.mp4'), clip, { scale: 1, columns: 1, labels: ['odd'] })
    const odd = execFileSync('ffmpeg', ['-v', 'error', '-i', join(folder, 'odd.mp4'), ...raw])
    expect((odd.length / (3 * T * H)) % 2).toBe(0)
  })
})

describe('without a working ffmpeg', () => {
  it('says what to install, before anything is computed', async () => {
    vi.stubEnv('UL_FFMPEG', join(folder, 'none'))
    const message =
      / is written by ffmpeg, but ".*none" is not found by UL_FFMPEG; install it \(Debian's package is ffmpeg\) or set UL_FFMPEG/
    expect(() => expectClipFile('c.mp4')).toThrow(message)
    await expect(writeClip(join(folder, 'c.mp4'), clip)).rejects.toThrow(message)
    vi.stubEnv('UL_FFMPEG', '')
    vi.stubEnv('PATH', folder)
    expect(() => expectClipFile('c.mp4')).toThrow(
      /^c\.mp4 is written by ffmpeg, but "ffmpeg" is not found in PATH; install/,
    )
  })

  it('leaves the old file and says what ffmpeg said, where it fails before it has read everything', async () => {
    const file = join(folder, 'd.mp4')
    writeFileSync(file, 'old')
    vi.stubEnv('UL_FFMPEG', fake('fails', 'echo first >&2; echo "Unknown encoder libx264" >&2; exit 3'))
    await expect(writeClip(file, clip, { scale: 40 })).rejects.toThrow(
      /d\.mp4 could not be written: ffmpeg ended with 3: Unknown encoder libx264$/,
    )
    expect(readFileSync(file, 'utf8')).toBe('old')
    expect(videos().filter((name) => name.startsWith('.'))).toEqual([])
  })

  it('is killed, and its file removed, when it is left early', async () => {
    const pid = join(folder, 'pid')
    vi.stubEnv('UL_FFMPEG', fake('hangs', `echo $$ > "${pid}.new"; mv "${pid}.new" "${pid}"; exec sleep 100`))
    const controller = new AbortController()
    const written = writeClip(join(folder, 'e.mp4'), clip, { signal: controller.signal })
    const outcome = expect(written).rejects.toThrow('enough')
    while (!existsSync(pid)) await setTimeout(5)
    controller.abort(new Error('enough'))
    await outcome
    while (isRunning(Number(readFileSync(pid, 'utf8')))) await setTimeout(5)
    expect(videos().filter((name) => name.includes('e.mp4'))).toEqual([])
  })
})
