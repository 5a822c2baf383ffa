/** @file CUDA: the card, ONNX Runtime's provider for it, and the libraries that this needs. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { libraryPath } from '../engine/runtime/node/capi.ts'
import { loadedLibrary } from '../native/library.ts'
import type { Check, Finding } from './check.ts'
import { neededLibraries } from './elf.ts'
import { firstLineOf } from './program.ts'

/** The provider's files, which lie beside ONNX Runtime's own. */
const providerFiles = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'] as const

/** What the provider of the pinned release needs, and what it loads once it convolves or transforms. */
const neededByRelease = [
  'libcublasLt.so.13',
  'libcublas.so.13',
  'libcurand.so.10',
  'libcudart.so.13',
  'libcuda.so.1',
]
const loadedLater = ['libcudnn.so.9', 'libcufft.so.12']

const ofToolkit = /^lib(cu|nv)/

const card = (): Finding => {
  const found = firstLineOf('nvidia-smi', [
    '--query-gpu=name,driver_version,memory.total',
    '--format=csv,noheader',
  ])
  return found === null
    ? { about: 'card', state: 'absent', text: 'no NVIDIA card: nvidia-smi is not found or finds none' }
    : { about: 'card', state: 'ok', text: found }
}

/** Card, provider and libraries, each with the file that is missing. */
export const cuda: Check = {
  name: 'cuda',
  run: () => {
    if (process.platform !== 'linux')
      return [
        {
          about: 'cuda',
          state: 'absent',
          text: `CUDA is looked for on Linux only, not on ${process.platform}`,
        },
      ]
    const folder = dirname(libraryPath())
    const missing = providerFiles.filter((file) => !existsSync(join(folder, file)))
    const provider = join(folder, providerFiles[1])
    const needed = [
      ...((existsSync(provider) ? neededLibraries(provider) : null) ?? neededByRelease).filter((name) =>
        ofToolkit.test(name),
      ),
      ...loadedLater,
    ]
    const unfound = needed.filter((name) => loadedLibrary(name) === null)
    return [
      card(),
      {
        about: 'cuda provider',
        state: missing.length === 0 ? 'ok' : 'absent',
        text:
          missing.length === 0
            ? `${providerFiles.join(' and ')} in ${folder}`
            : `${missing.join(' and ')} not in ${folder}`,
        ...(missing.length > 0 && {
          remedy:
            'node node_modules/onnxruntime-node/script/install --onnxruntime-node-install fetches them (it calls them cuda12; those of 1.30.0 are built for CUDA 13)',
        }),
        facts: { folder, missing },
      },
      {
        about: 'cuda libraries',
        state: unfound.length === 0 ? 'ok' : 'absent',
        text:
          unfound.length === 0
            ? `all ${needed.length} that the provider needs are found`
            : `${unfound.join(', ')} not found, of the ${needed.length} that the provider needs`,
        ...(unfound.length > 0 && {
          remedy:
            "install CUDA 13 and cuDNN 9, and put their folders on LD_LIBRARY_PATH (those of pip's packages are site-packages/nvidia/*/lib)",
        }),
        facts: { needed, unfound },
      },
    ]
  },
}
