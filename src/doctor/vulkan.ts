/** @file What WebGPU stands on under Linux: the Vulkan loader and a driver. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { loadedLibrary } from '../native/library.ts'
import type { Check } from './check.ts'

const driverFolders = ['/etc/vulkan/icd.d', '/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d']

/** Files that name drivers: those that the environment lists, else those of the system. */
const driverFiles = (): string[] => {
  const listed = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES
  if (listed) return listed.split(':').filter((file) => existsSync(file))
  return driverFolders
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
    .filter((file) => file.endsWith('.json'))
}

/** The loader, and drivers by the files that name them. Windows and macOS bring what WebGPU needs. */
export const vulkan: Check = {
  name: 'vulkan',
  run: () => {
    if (process.platform !== 'linux') return []
    const [hasLoader, drivers] = [loadedLibrary('libvulkan.so.1') !== null, driverFiles()]
    const lacks = [
      ...(hasLoader ? [] : ['libvulkan.so.1']),
      ...(drivers.length > 0 ? [] : ['a driver (icd.d/*.json)']),
    ]
    return [
      {
        about: 'vulkan',
        state: lacks.length === 0 ? 'ok' : 'absent',
        text:
          lacks.length === 0
            ? `loader, and drivers ${drivers.join(', ')}`
            : `${lacks.join(' and ')} not found`,
        ...(lacks.length > 0 && {
          remedy:
            "install the card's driver and the loader (Debian's package is libvulkan1), or name a driver by VK_DRIVER_FILES",
        }),
        facts: { hasLoader, drivers },
      },
    ]
  },
}
