/** @file Frames of a video, decoded by ffmpeg in a process of its own that ends with whoever reads them. */

import { spawn } from 'node:child_process'
import { z } from 'zod'
import { type FfmpegTool, ffmpegCommand, missingFfmpeg } from '../../files/ffmpeg.ts'
import { ClipFault, type ClipPlace, type FrameRange } from './fault.ts'

/** Pixels of a frame at most. */
const MOST_PIXELS = 2 ** 26

/** Characters that are kept of what a tool says. */
const MOST_SAID = 4096

/**
 * Formats that are opened, whatever a file is called: none that names other files or addresses, as playlists do, nor one that
 * takes a name for a pattern.
 */
const FORMATS =
  'mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,apng,m4v,h264,hevc,mjpeg,yuv4mpegpipe,nut,ivf,dv,mxf'

/**
 * What a tool writes, piece by piece; it waits where nobody takes it, and is killed when the reader leaves early.
 * @throws ClipFault when the tool ends with a failure, and when it cannot be started
 */
async function* outputOf(tool: FfmpegTool, args: readonly string[]): AsyncGenerator<Uint8Array> {
  const child = spawn(ffmpegCommand(tool), args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    windowsHide: true,
    // Ctrl-C is for whoever reads: a tool that it ended would be taken for a fault of the clip
    detached: process.platform !== 'win32',
  })
  const ended = new Promise<readonly [code: number | null, signal: string | null]>((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) =>
      reject(missingFfmpeg('videos are decoded', tool, cause)),
    )
    child.once('close', (code, signal) => resolve([code, signal]))
  })
  // it is awaited below, but for a reader that leaves before
  ended.catch(() => undefined)
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < MOST_SAID) said += text
  })
  try {
    for await (const piece of child.stdout) yield piece
    const [code, signal] = await ended
    if (signal !== null)
      throw new Error(
        `${ffmpegCommand(tool)} was ended by ${signal} from outside, perhaps for want of memory; free some and run this again`,
      )
    // Matroska that is cut off is no failure to the tools
    if (code === 0 && !/ended prematurely/i.test(said)) return
    throw new ClipFault(`is no video, or a damaged or cut-off one (${lastLine(said) ?? `exit ${code}`})`)
  } finally {
    child.kill('SIGKILL')
  }
}

/** The last of what a tool said, without what stands before it: its part, with an address in memory, and the file. */
const lastLine = (said: string): string | undefined =>
  said
    .split('\n')
    .map((line) =>
      line
        .replace(/^\[[^\]]*\] /, '')
        .replace(/^.*[/\\].*?: /, '')
        .trim(),
    )
    .filter((line) => line !== '')
    .at(-1)

const textOf = async (tool: FfmpegTool, args: readonly string[]): Promise<string> => {
  const pieces: Uint8Array[] = []
  for await (const piece of outputOf(tool, args)) pieces.push(piece)
  return Buffer.concat(pieces).toString('utf8')
}

/** What is known of a video before it is decoded. */
export interface VideoFacts {
  /** Frames, counted as packets: of odd files a few more than decoding gives. */
  readonly count: number
  readonly width: number
  readonly height: number
  /** Width of a pixel by its height. */
  readonly pixelAspect: number
  readonly hasAlpha: boolean
}

const probeSchema = z.object({
  streams: z.array(
    z.object({
      width: z.int(),
      height: z.int(),
      pix_fmt: z.string().optional(),
      sample_aspect_ratio: z.string().optional(),
      nb_read_packets: z.string().optional(),
    }),
  ),
})

/** `4:3` → 1.33; 1 where nothing is said, as `0:1` and `N/A` mean. */
const aspectOf = (ratio: string): number => {
  const [width, height] = ratio.split(':').map(Number)
  return width > 0 && height > 0 ? width / height : 1
}

/** How the tools are told what to read, a part of a file through their own protocol for it. */
const inputOf = ({ file, within }: ClipPlace): readonly string[] => {
  const quiet = ['-v', 'error', '-format_whitelist', FORMATS, '-protocol_whitelist']
  if (within === undefined) return [...quiet, 'file', '-i', file]
  const { offset, size } = within
  return [...quiet, 'file,subfile', '-i', `subfile,,start,${offset},end,${offset + size},,:${file}`]
}

/** What ffprobe says of the first stream of a video that is no cover picture. @throws ClipFault when it is no video */
export const probeVideo = async (place: ClipPlace): Promise<VideoFacts> => {
  const entries = 'stream=width,height,pix_fmt,sample_aspect_ratio,nb_read_packets'
  const wanted = ['-select_streams', 'V:0', '-count_packets', '-show_entries', entries, '-of', 'json']
  const text = await textOf('ffprobe', [...wanted, ...inputOf(place)])
  const [stream] = probeSchema.parse(JSON.parse(text)).streams
  if (stream === undefined) throw new ClipFault('has no video stream')
  const { width, height, pix_fmt = '', sample_aspect_ratio = '1:1', nb_read_packets = '0' } = stream
  if (width * height > MOST_PIXELS)
    throw new ClipFault(`has ${width}×${height} pixels, more than the ${MOST_PIXELS} that a frame may have`)
  return {
    ...{ count: Number(nb_read_packets), width, height },
    pixelAspect: aspectOf(sample_aspect_ratio),
    hasAlpha: /^(yuva|gbrap|rgba|bgra|argb|abgr|ya|pal8)/.test(pix_fmt),
  }
}

let version: { readonly command: string; readonly passthrough: Promise<readonly string[]> } | undefined

/** How ffmpeg is told to give each frame once, whatever its time: before 5.1 the option had another name. */
const readPassthrough = async (): Promise<readonly string[]> => {
  const [, major, minor] = /^ffmpeg version n?(\d+)\.(\d+)/.exec(await textOf('ffmpeg', ['-version'])) ?? []
  const isOld = major !== undefined && Number(major) * 100 + Number(minor) < 501
  return [isOld ? '-vsync' : '-fps_mode', 'passthrough']
}

const passthrough = (): Promise<readonly string[]> => {
  const command = ffmpegCommand('ffmpeg')
  if (version?.command === command) return version.passthrough
  const passthrough = readPassthrough()
  version = { command, passthrough }
  // asked again where it failed: it may be installed meanwhile
  passthrough.catch(() => {
    version = undefined
  })
  return passthrough
}

/** A frame as it is seen: on white, with square pixels, the middle of it, in sRGB as ffmpeg converts it. */
const filtersOf = (facts: VideoFacts, size: number, { first, stride }: FrameRange): string => {
  const { width, height, pixelAspect, hasAlpha } = facts
  const side = Math.min(width * pixelAspect, height)
  const skipping = first > 0 || stride > 1
  return [
    ...(skipping ? [`select='gte(n,${first})*not(mod(n-${first},${stride}))'`] : []),
    ...(hasAlpha
      ? [
          'format=rgba,split[seen][behind];[behind]lutrgb=r=255:g=255:b=255:a=255[white];[white][seen]overlay=format=rgb',
        ]
      : []),
    'format=rgb24',
    ...(pixelAspect === 1 ? [] : ["scale='round(iw*sar)':ih:flags=bilinear", 'setsar=1']),
    "crop='min(iw,ih)':'min(iw,ih)'",
    `scale=${size}:${size}:flags=${size < side ? 'area' : 'bilinear'}`,
  ].join(',')
}

/**
 * Chosen frames of a video, each [size, size, 3], 0..255: turned as its flags say, the middle of each, area means where it is
 * shrunk. Frames are those of the file in order of time, each once: the rate may vary.
 * @throws ClipFault when it cannot be decoded as far as it is wanted
 */
export async function* videoFrames(
  place: ClipPlace,
  facts: VideoFacts,
  size: number,
  range: FrameRange,
): AsyncGenerator<Uint8Array> {
  const frame = new Uint8Array(size * size * 3)
  let filled = 0
  const args = [
    ...['-nostdin', '-xerror', '-threads', '1', ...inputOf(place)],
    ...['-map', '0:V:0', '-vf', filtersOf(facts, size, range), '-frames:v', String(range.count)],
    ...[...(await passthrough()), '-pix_fmt', 'rgb24', '-f', 'rawvideo', 'pipe:1'],
  ]
  for await (const piece of outputOf('ffmpeg', args)) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + frame.length - filled)
      frame.set(part, filled)
      filled += part.length
      at += part.length
      if (filled < frame.length) continue
      yield frame.slice()
      filled = 0
    }
  }
  if (filled > 0) throw new ClipFault('ends within a frame')
}
