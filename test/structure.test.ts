/** @file The structure of src/: which folder may import which, no cycles, and who may reach Node and native packages. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../src', import.meta.url))

/** Files relative to src/ with forward slashes. */
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .map((name) => name.replaceAll('\\', '/'))
  .filter((name) => name.endsWith('.ts'))
  .sort()

/** What a file imports or re-exports, types included: files relative to src/, and packages by their specifier. */
const importsOf = (
  file: string,
): { readonly own: readonly string[]; readonly packages: readonly string[] } => {
  const path = join(root, file)
  const names = ts.preProcessFile(readFileSync(path, 'utf8')).importedFiles.map(({ fileName }) => fileName)
  const own = names.filter((name) => name.startsWith('.'))
  return {
    own: own.map((name) => relative(root, resolve(dirname(path), name)).replaceAll('\\', '/')),
    packages: names.filter((name) => !name.startsWith('.')),
  }
}

const imports = new Map(files.map((file) => [file, importsOf(file)]))

/** `engine/ops/core.ts` → `engine/ops`; the entry points are folders of their own. */
const folderOf = (file: string): string => (file.includes('/') ? dirname(file) : file)

/** Folder → folders it may import besides itself, from the bottom up; every entry is in use. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'engine/host': [],
  'engine/ir': ['engine/host'],
  'engine/ops': ['engine/host', 'engine/ir'],
  'engine/autodiff': ['engine/host', 'engine/ir', 'engine/ops'],
  'engine/onnx': ['engine/host', 'engine/ir'],
  'engine/nn': ['engine/host', 'engine/ir', 'engine/ops'],
  'engine/runtime': ['engine/host', 'engine/ir'],
  'engine/runtime/ort': ['engine/host', 'engine/ir', 'engine/onnx', 'engine/runtime'],
  'engine/runtime/node': ['engine/host', 'engine/ir', 'engine/onnx', 'engine/runtime', 'engine/runtime/ort'],
  metrics: ['engine/host'],
  train: ['engine/autodiff', 'engine/host', 'engine/ir', 'engine/nn', 'engine/ops', 'engine/runtime'],
  'method/diffusion': ['engine/ir', 'engine/ops'],
  'method/networks': ['engine/ir', 'engine/nn', 'engine/ops'],
  method: [
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/ops',
    'engine/runtime',
    'method/diffusion',
    'method/networks',
    'metrics',
    'train',
  ],
  files: ['engine/host'],
  config: ['method/networks'],
  'data/images': [],
  'data/formats': ['data/images', 'engine/host'],
  data: ['data/formats', 'data/images', 'engine/host'],
  features: ['data/images', 'engine/host', 'engine/onnx', 'engine/runtime/node', 'files'],
  report: ['engine/host'],
  runs: ['config', 'engine/host', 'files', 'metrics'],
  use: [
    'config',
    'data',
    'data/images',
    'engine/host',
    'engine/runtime',
    'files',
    'method',
    'method/diffusion',
    'method/networks',
    'report',
    'runs',
    'train',
  ],
  measure: [
    'data',
    'data/images',
    'engine/host',
    'engine/runtime',
    'features',
    'files',
    'method',
    'method/diffusion',
    'metrics',
    'runs',
    'use',
  ],
  stages: [
    'config',
    'data',
    'data/images',
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/runtime',
    'files',
    'measure',
    'method',
    'method/networks',
    'metrics',
    'report',
    'runs',
    'train',
    'use',
  ],
  'studies/law': ['metrics'],
  studies: [
    'config',
    'engine/runtime',
    'measure',
    'method/networks',
    'metrics',
    'report',
    'runs',
    'stages',
    'studies/law',
    'use',
  ],
  commands: [
    'config',
    'engine/host',
    'engine/ir',
    'engine/runtime',
    'engine/runtime/node',
    'features',
    'files',
    'measure',
    'method',
    'metrics',
    'report',
    'runs',
    'stages',
    'studies',
    'use',
  ],
  'index.ts': [
    'config',
    'engine/autodiff',
    'engine/host',
    'engine/ir',
    'engine/onnx',
    'engine/runtime',
    'method',
    'method/diffusion',
    'method/networks',
    'metrics',
    'studies/law',
    'train',
  ],
  'node.ts': [
    'data',
    'data/images',
    'engine/runtime/node',
    'features',
    'files',
    'measure',
    'runs',
    'stages',
    'studies',
    'use',
  ],
  'ops.ts': ['engine/ops'],
}

/** Folders that run in Node only. */
const nodeOnly: ReadonlySet<string> = new Set([
  ...['engine/runtime/node', 'data', 'data/formats', 'data/images', 'files', 'features', 'report', 'runs'],
  ...['use', 'measure', 'stages', 'studies', 'commands', 'node.ts'],
])

/** Everything that a file reaches, itself included. */
const reachedFrom = (start: string): ReadonlySet<string> => {
  const seen = new Set([start])
  for (const file of seen) for (const next of imports.get(file)?.own ?? []) seen.add(next)
  return seen
}

const filesThatImport = (matches: (name: string) => boolean, from: Iterable<string> = files): string[] =>
  [...from].filter((file) => imports.get(file)!.packages.some(matches))

const isNative = (name: string): boolean => name.startsWith('onnxruntime-')
const isProtobuf = (name: string): boolean => name === 'onnx-buf' || name.startsWith('@bufbuild/')
const isNode = (name: string): boolean => name.startsWith('node:')

describe('folders of src/', () => {
  it('finds files, and every import of a file leads to one of them', () => {
    expect(files.length).toBeGreaterThan(50)
    const missing = files.flatMap((file) => imports.get(file)!.own.filter((name) => !imports.has(name)))
    expect(missing).toEqual([])
  })

  it('import exactly the folders that the table allows', () => {
    const found: Record<string, Set<string>> = {}
    for (const [file, { own }] of imports) {
      const folder = folderOf(file)
      found[folder] ??= new Set()
      for (const target of own.map(folderOf)) if (target !== folder) found[folder].add(target)
    }
    const edges = Object.fromEntries(Object.entries(found).map(([folder, set]) => [folder, [...set].sort()]))
    expect(edges).toEqual(allowed)
  })

  it('import in one direction: the table has no cycle', () => {
    const order = Object.keys(allowed)
    for (const [folder, below] of Object.entries(allowed)) {
      for (const target of below)
        expect(order.indexOf(target), `${folder} → ${target}`).toBeLessThan(order.indexOf(folder))
    }
  })
})

describe('files of src/', () => {
  it('do not import each other in a cycle', () => {
    const cyclic = files.filter((file) =>
      imports.get(file)!.own.some((next) => next === file || reachedFrom(next).has(file)),
    )
    expect(cyclic).toEqual([])
  })

  it('name packages as Node does: node:fs, not fs', () => {
    const builtin =
      /^(assert|buffer|child_process|crypto|events|fs|module|os|path|stream|url|util|worker_threads)\b/
    expect(filesThatImport((name) => builtin.test(name))).toEqual([])
  })
})

describe('packages', () => {
  it('ONNX Runtime is imported in engine/runtime/node alone', () => {
    const found = filesThatImport(isNative)
    expect(new Set(found.map(folderOf))).toEqual(new Set(['engine/runtime/node']))
  })

  it('protobuf is imported in engine/onnx alone', () => {
    expect(new Set(filesThatImport(isProtobuf).map(folderOf))).toEqual(new Set(['engine/onnx']))
  })

  it('@huggingface/transformers, which need not be installed, is imported by none', () => {
    expect(filesThatImport((name) => name.startsWith('@huggingface/'))).toEqual([])
  })

  it('node: modules are imported in Node-only folders alone', () => {
    expect(filesThatImport(isNode).filter((file) => !nodeOnly.has(folderOf(file)))).toEqual([])
  })
})

describe('src/index.ts and src/ops.ts', () => {
  it.each([
    ['index.ts', 20],
    ['ops.ts', 10],
  ])('%s reaches nothing that needs Node', (entry, least) => {
    const reached = reachedFrom(entry)
    expect(reached.size).toBeGreaterThan(least)
    const native = (name: string): boolean => isNode(name) || isNative(name) || name === 'sharp'
    expect(filesThatImport(native, reached)).toEqual([])
    expect([...reached].filter((file) => nodeOnly.has(folderOf(file)))).toEqual([])
  })

  it('would be caught if it did: src/node.ts reaches all three', () => {
    const reached = [...reachedFrom('node.ts')]
    expect(filesThatImport(isNode, reached)).not.toEqual([])
    expect(filesThatImport(isNative, reached)).not.toEqual([])
  })
})
