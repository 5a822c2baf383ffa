/** @file Versions, processor and memory. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import type { Check } from './check.ts'

/** Version of an installed package, by the file that it is loaded from: not all export their package.json. */
const versionOf = (name: string): string | null => {
  let folder = dirname(createRequire(import.meta.url).resolve(name))
  for (; folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const found: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      const { name: own, version } = found as { readonly name?: string; readonly version?: string }
      if (own === name) return version ?? null
    } catch {
      // no such file: look further up
    }
  }
  return null
}

const gibibytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(1)

/** Node, ONNX Runtime, the processor and its memory. */
export const versions: Check = {
  name: 'versions',
  run: () => {
    const onnxRuntime = versionOf('onnxruntime-node')
    const [model, cores] = [cpus()[0]?.model.trim() ?? 'unknown processor', availableParallelism()]
    const limit = process.constrainedMemory()
    const total = limit > 0 ? Math.min(limit, totalmem()) : totalmem()
    const facts = { node: process.versions.node, onnxRuntime, platform: process.platform, arch: process.arch }
    return [
      {
        about: 'versions',
        state: 'ok',
        text: `Node ${facts.node}, ONNX Runtime ${onnxRuntime}, ${process.platform} ${process.arch}`,
        facts,
      },
      {
        about: 'machine',
        state: 'ok',
        text: `${model}, ${cores} cores for this process, ${gibibytes(total)} GiB of memory, ${gibibytes(freemem())} available`,
        facts: { model, cores, memoryBytes: total, availableBytes: freemem() },
      },
    ]
  },
}
