/** @file SwiftShader, the software driver of Vulkan that Debian's chromium brings, and the environment that makes it the only one. */
import { existsSync } from 'node:fs'

/** What names it to a Vulkan loader. */
export const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json'

/** What to say where it is missing; null where it is there. */
export const swiftShaderLack: string | null = existsSync(swiftShader)
  ? null
  : `there is no ${swiftShader}; apt-get install chromium brings it`

/** Variables for one driver alone: SwiftShader with chromium's own Vulkan loader, or any other file, or none. */
export const driverVariables = (icd: string, runtimeFolder: string): Readonly<Record<string, string>> => ({
  XDG_RUNTIME_DIR: runtimeFolder,
  VK_ICD_FILENAMES: icd,
  VK_DRIVER_FILES: icd,
  LD_LIBRARY_PATH: icd === swiftShader ? '/usr/lib/chromium' : '',
})
