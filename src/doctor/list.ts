/** @file Every check, in the order in which its findings are told. */
import type { Check } from './check.ts'
import { cuda } from './cuda.ts'
import { devicesBy } from './devices.ts'
import { ffmpeg } from './ffmpeg.ts'
import { mpi } from './mpi.ts'
import { versions } from './versions.ts'
import { vulkan } from './vulkan.ts'

/** @param command what starts `ul` after Node's own path */
export const checksOf = (command: readonly string[]): readonly Check[] => [
  versions,
  devicesBy(command),
  vulkan,
  cuda,
  mpi,
  ffmpeg,
]
