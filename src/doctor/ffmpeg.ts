/** @file ffmpeg, for videos. */
import { ffmpegCommand } from '../files/ffmpeg.ts'
import type { Check } from './check.ts'
import { firstLineOf } from './program.ts'

/** ffmpeg and ffprobe. */
export const ffmpeg: Check = {
  name: 'ffmpeg',
  run: () =>
    (['ffmpeg', 'ffprobe'] as const).map((tool) => {
      const program = ffmpegCommand(tool)
      const version = firstLineOf(program, ['-version'])
      return version === null
        ? {
            about: tool,
            state: 'absent',
            text: `${program} does not run: videos are neither read nor written; animations and folders of frames are`,
            remedy: "install it (Debian's package is ffmpeg) or set UL_FFMPEG to the path of ffmpeg",
          }
        : { about: tool, state: 'ok', text: version, facts: { program } }
    }),
}
