/**
 * @file The structure of the repository: which folder may import which, no cycles, and who may reach Node and native
 * packages.
 */
import { readdirSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { type Imports, importsBelow, loadedWith, reachedFrom, sourceOf } from './sources.ts'
import { slowTests, training } from './tiers.ts'

const everything = importsBelow('src', 'bench', 'examples', 'test')

/** The files below a folder with their imports. */
const below = (folder: string): [string, Imports][] =>
  [...everything].filter(([file]) => file.startsWith(`${folder}/`))

/** Files of src/ by their path there, as are the files that they import. */
const imports: ReadonlyMap<string, Imports> = new Map(
  below('src').map(([file, { own, packages }]) => [
    posix.relative('src', file),
    { own: own.map((name) => posix.relative('src', name)), packages },
  ]),
)
const files = [...imports.keys()]

/** `engine/ops/core.ts` → `engine/ops`; the entry points are folders of their own. */
const folderOf = (file: string): string => (file.includes('/') ? posix.dirname(file) : file)

/** Folder → folders it may import besides itself, from the bottom up; every entry is in use. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  native: [],
  distributed: [],
  'distributed/mpi': ['distributed', 'native'],
  'engine/host': [],
  'engine/ir': ['engine/host'],
  'engine/ops': ['engine/host', 'engine/ir'],
  'engine/autodiff': ['engine/host', 'engine/ir', 'engine/ops'],
  'engine/onnx': ['engine/host', 'engine/ir'],
  'engine/nn': ['engine/host', 'engine/ir', 'engine/ops'],
  'engine/runtime': ['engine/host', 'engine/ir'],
  'engine/runtime/ort': ['engine/host', 'engine/ir', 'engine/onnx', 'engine/runtime'],
  'engine/runtime/node': [
    'engine/host',
    'engine/ir',
    'engine/onnx',
    'engine/runtime',
    'engine/runtime/ort',
    'native',
  ],
  'engine/runtime/web': ['engine/host', 'engine/runtime', 'engine/runtime/ort'],
  metrics: ['engine/host'],
  train: [
    'distributed',
    'engine/autodiff',
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/ops',
    'engine/runtime',
  ],
  'method/conditions': ['engine/host', 'engine/ir', 'engine/nn', 'engine/ops', 'train'],
  'method/diffusion': ['engine/host', 'engine/ir', 'engine/ops'],
  'method/networks': ['engine/host', 'engine/ir', 'engine/nn', 'engine/ops', 'method/diffusion'],
  'method/objective': [
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/ops',
    'method/diffusion',
    'method/networks',
  ],
  'method/objective/rates': [
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/ops',
    'method/diffusion',
    'method/networks',
    'method/objective',
  ],
  'method/objective/posteriors': ['engine/ir', 'engine/ops', 'method/objective'],
  'method/objective/distortions': [
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/ops',
    'method/diffusion',
    'method/networks',
    'method/objective',
  ],
  method: [
    'distributed',
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/ops',
    'engine/runtime',
    'method/conditions',
    'method/diffusion',
    'method/networks',
    'method/objective',
    'method/objective/distortions',
    'method/objective/posteriors',
    'method/objective/rates',
    'metrics',
    'train',
  ],
  stored: ['engine/host'],
  files: ['engine/host', 'stored'],
  config: ['method', 'method/conditions', 'method/diffusion'],
  model: [
    'config',
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/runtime',
    'method',
    'method/conditions',
    'method/diffusion',
    'stored',
    'train',
  ],
  'data/images': ['engine/host', 'stored'],
  'data/clips': ['data/images', 'engine/host', 'files'],
  'data/formats': ['data/clips', 'data/images', 'engine/host'],
  data: ['data/formats', 'data/images', 'engine/host'],
  features: ['data/images', 'engine/host', 'engine/onnx', 'engine/runtime/node', 'files'],
  report: ['engine/host', 'files', 'metrics'],
  runs: ['config', 'distributed', 'engine/host', 'files', 'metrics', 'model', 'stored'],
  use: [
    'config',
    'data',
    'data/clips',
    'data/formats',
    'data/images',
    'distributed',
    'engine/host',
    'engine/runtime',
    'files',
    'method',
    'method/conditions',
    'method/diffusion',
    'method/networks',
    'model',
    'report',
    'runs',
    'train',
  ],
  measure: [
    'data',
    'data/images',
    'distributed',
    'engine/host',
    'engine/runtime',
    'features',
    'files',
    'method',
    'method/diffusion',
    'method/networks',
    'metrics',
    'model',
    'runs',
    'use',
  ],
  stages: [
    'config',
    'data',
    'data/images',
    'distributed',
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/ops',
    'engine/runtime',
    'files',
    'measure',
    'method',
    'method/diffusion',
    'method/networks',
    'method/objective',
    'metrics',
    'model',
    'report',
    'runs',
    'stored',
    'train',
    'use',
  ],
  tab: [
    'config',
    'data',
    'data/images',
    'distributed',
    'engine/host',
    'engine/runtime',
    'model',
    'report',
    'runs',
    'stages',
    'stored',
    'train',
    'use',
  ],
  export: [
    'config',
    'engine/host',
    'engine/ir',
    'engine/onnx',
    'files',
    'method',
    'method/diffusion',
    'method/networks',
    'method/objective',
    'metrics',
    'model',
    'runs',
    'train',
    'use',
  ],
  hub: [
    'config',
    'engine/runtime',
    'export',
    'files',
    'method',
    'method/diffusion',
    'model',
    'report',
    'runs',
    'use',
  ],
  'studies/law': ['metrics'],
  studies: [
    'config',
    'engine/runtime',
    'measure',
    'method',
    'metrics',
    'model',
    'report',
    'runs',
    'stages',
    'studies/law',
  ],
  doctor: [
    'config',
    'distributed/mpi',
    'engine/host',
    'engine/ir',
    'engine/ops',
    'engine/runtime',
    'engine/runtime/node',
    'files',
    'native',
    'stages',
  ],
  trackio: ['config', 'files', 'report', 'runs', 'stored'],
  studio: ['config', 'files', 'metrics', 'report', 'runs', 'stored', 'studies'],
  commands: [
    'config',
    'data',
    'distributed',
    'distributed/mpi',
    'doctor',
    'engine/host',
    'engine/runtime',
    'engine/runtime/node',
    'export',
    'features',
    'files',
    'hub',
    'measure',
    'method',
    'method/conditions',
    'metrics',
    'model',
    'report',
    'runs',
    'stages',
    'studies',
    'studio',
    'trackio',
    'use',
  ],
  'index.ts': [
    'config',
    'distributed',
    'engine/autodiff',
    'engine/host',
    'engine/ir',
    'engine/nn',
    'engine/onnx',
    'engine/runtime',
    'method',
    'method/diffusion',
    'method/networks',
    'method/objective',
    'metrics',
    'studies/law',
    'train',
  ],
  'node.ts': [
    'data',
    'data/images',
    'distributed/mpi',
    'engine/runtime/node',
    'features',
    'files',
    'measure',
    'report',
    'runs',
    'stages',
    'studies',
    'use',
  ],
  'ops.ts': ['engine/ops'],
  'web.ts': ['engine/runtime', 'engine/runtime/web', 'method/conditions', 'model', 'stored'],
}

/** Folders that run in Node only. */
const nodeOnly: ReadonlySet<string> = new Set([
  ...[
    'engine/runtime/node',
    'native',
    'distributed/mpi',
    'data',
    'data/clips',
    'data/formats',
    'data/images',
    'files',
    'features',
    'report',
    'runs',
  ],
  ...[
    'use',
    'export',
    'hub',
    'measure',
    'stages',
    'studies',
    'studio',
    'trackio',
    'doctor',
    'commands',
    'node.ts',
  ],
])

const filesThatImport = (matches: (name: string) => boolean, from: Iterable<string> = files): string[] =>
  [...from].filter((file) => imports.get(file)!.packages.some(matches))

const isWeb = (name: string): boolean => /^onnxruntime-web($|\/)/.test(name)
const isNative = (name: string): boolean => name.startsWith('onnxruntime-') && !isWeb(name)
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

describe('folders beside src/', () => {
  /** Files and packages that files of a folder import and must not, with who does. */
  const refused = (folder: string, isAllowed: (name: string) => boolean): string[] =>
    below(folder).flatMap(([file, { own, packages }]) =>
      [...own, ...packages].filter((name) => !isAllowed(name)).map((name) => `${file} → ${name}`),
    )
  const isOf = (folders: readonly string[], name: string): boolean =>
    folders.some((folder) => name.startsWith(`${folder}/`))
  const isFile = (name: string): boolean => /^(src|bench|examples|test|tools)\//.test(name)

  it('bench is built on src and itself, and on nothing of tests but a page in Chromium', () => {
    const pages = ['browser', 'bundle', 'server'].map((name) => `test/browser/${name}.ts`)
    expect(below('bench').length).toBeGreaterThan(10)
    expect(
      refused('bench', (name) => !isFile(name) || isOf(['src', 'bench'], name) || pages.includes(name)),
    ).toEqual([])
  })

  it('examples use the package as anybody else: by its name, and Node', () => {
    const { exports } = JSON.parse(sourceOf('package.json')) as { exports: object }
    const entries = Object.keys(exports).map((key) => posix.join('unified-latents', key))
    const found = refused('examples', (name) => entries.includes(name) || isNode(name))
    expect(found.filter((line) => !line.startsWith('examples/onnx/'))).toEqual([])
  })

  it('examples of ONNX models use ONNX Runtime, and nothing of the package', () => {
    expect(below('examples/onnx')).toHaveLength(3)
    const isAllowed = (name: string): boolean =>
      isOf(['examples/onnx'], name) || isNative(name) || isNode(name)
    expect(refused('examples/onnx', isAllowed)).toEqual([])
    // All but the command itself runs in pages, too.
    const forNode = below('examples/onnx').filter(([, { packages }]) =>
      packages.some((name) => name !== 'onnxruntime-common'),
    )
    expect(forNode.map(([file]) => file)).toEqual(['examples/onnx/sample.ts'])
  })

  it('the site uses the package by its name and what its pages share with src, and Node nowhere', () => {
    // The studio's pages share its contract, training in a tab the one file that it is in.
    const shared: Readonly<Record<string, readonly string[]>> = {
      'site/src/studio/': ['src/studio/api.ts', 'src/report/ticks.ts'],
      'site/src/train/': ['src/tab/page.ts'],
    }
    const names = readdirSync(fileURLToPath(new URL('../site/src', import.meta.url)), {
      recursive: true,
      encoding: 'utf8',
    })
    const sources = names.filter((name) => /\.(ts|svelte)$/.test(name)).map((name) => `site/src/${name}`)
    expect(sources.length).toBeGreaterThan(30)
    const found = sources.flatMap((file) => {
      const own = Object.entries(shared).flatMap(([folder, some]) => (file.startsWith(folder) ? some : []))
      return [...sourceOf(file).matchAll(/(?:from |import\()['"]([^'"]+)['"]/g)]
        .map(([, name]) => (name.startsWith('.') ? posix.join(posix.dirname(file), name) : name))
        .filter((name) => isNode(name) || (isFile(name) && !own.includes(name)))
        .map((name) => `${file} → ${name}`)
    })
    expect(found).toEqual([])
    const reached = reachedFrom(
      imports,
      Object.values(shared)
        .flat()
        .map((name) => posix.relative('src', name)),
    )
    expect(filesThatImport((name) => isNode(name) || isNative(name), reached)).toEqual([])
  })

  it('tests do not import what is built', () => {
    const leftOut = (name: string): boolean => name.startsWith('dist/')
    expect(refused('test', (name) => !leftOut(name))).toEqual([])
  })

  it('fast tests replace no module: they share all of them (vitest.config.ts)', () => {
    const slow = new Set(slowTests())
    const fast = below('test').filter(([file]) => file.endsWith('.test.ts') && !slow.has(file))
    expect(fast.length).toBeGreaterThan(40)
    // What they import of test/ is searched, too.
    const reached = reachedFrom(
      everything,
      fast.map(([file]) => file),
    )
    const replaced = new RegExp(
      ['mock', 'doMock', 'resetModules'].map((name) => `\\bvi\\.${name}\\(`).join('|'),
    )
    const files = [...reached].filter((file) => file.startsWith('test/'))
    expect(files.filter((file) => replaced.test(sourceOf(file)))).toEqual([])
  })

  it('the tiers of tests name modules that there are', () => {
    expect([...training].filter((name) => !everything.has(name))).toEqual([])
  })

  it("the package's name is its source for the compiler and tests, entry by entry as it is published", () => {
    const { exports } = JSON.parse(sourceOf('package.json')) as {
      exports: Readonly<Record<string, { readonly default: string }>>
    }
    const { compilerOptions } = JSON.parse(sourceOf('tsconfig.json')) as {
      compilerOptions: { readonly paths: object }
    }
    const wanted = Object.entries(exports).map(([key, { default: built }]) => [
      posix.join('unified-latents', key),
      [built.replace('./dist/', './src/').replace(/\.mjs$/, '.ts')],
    ])
    expect(compilerOptions.paths).toEqual(Object.fromEntries(wanted))
  })
})

describe('files', () => {
  it('of src, bench, examples and test do not import each other in a cycle', () => {
    const cyclic = [...everything.keys()].filter((file) =>
      reachedFrom(everything, everything.get(file)!.own).has(file),
    )
    expect(cyclic).toEqual([])
  })

  it('name packages as Node does: node:fs, not fs', () => {
    const bare = (name: string): boolean => builtinModules.includes(name)
    const found = [...everything].filter(([, { packages }]) => packages.some(bare)).map(([file]) => file)
    expect(found).toEqual([])
  })
})

describe('output', () => {
  it('is written in commands/print.ts alone, so that nothing is thrown by it', () => {
    const found = files.filter((file) =>
      /process\.std(out|err)\.write|process\[stream\]/.test(sourceOf(`src/${file}`)),
    )
    expect(found).toEqual(['commands/print.ts'])
  })
})

describe('packages', () => {
  it("ONNX Runtime is imported in its adapters' folders alone, each its own package, and of the web's only on demand", () => {
    const foldersThatImport = (matches: (name: string) => boolean): Set<string> =>
      new Set(filesThatImport(matches).map(folderOf))
    expect(foldersThatImport(isNative)).toEqual(new Set(['engine/runtime/node']))
    expect(foldersThatImport(isWeb)).toEqual(new Set(['engine/runtime/web']))
    for (const file of filesThatImport(isWeb))
      expect(sourceOf(`src/${file}`).replaceAll(/\bimport\('onnxruntime-web/g, '')).not.toContain(
        "'onnxruntime-web",
      )
  })

  it('protobuf is imported in engine/onnx alone', () => {
    expect(new Set(filesThatImport(isProtobuf).map(folderOf))).toEqual(new Set(['engine/onnx']))
  })

  it('@huggingface/transformers, which need not be installed, is imported by none', () => {
    expect(filesThatImport((name) => name.startsWith('@huggingface/transformers'))).toEqual([])
  })

  it('@huggingface/hub is imported in hub alone: its types, and itself when it is used', () => {
    const found = filesThatImport((name) => name.startsWith('@huggingface/'))
    expect(new Set(found.map(folderOf))).toEqual(new Set(['hub']))
    const loading = found.flatMap((file) => {
      const text = sourceOf(`src/${file}`).replaceAll(/^import type .*$/gm, '')
      return [...text.matchAll(/^.*'@huggingface\/.*$/gm)].map(([line]) => `${file}: ${line.trim()}`)
    })
    expect(loading).toEqual(["hub/client.ts: library: await import('@huggingface/hub'),"])
  })

  it('node: modules are imported in Node-only folders alone', () => {
    expect(filesThatImport(isNode).filter((file) => !nodeOnly.has(folderOf(file)))).toEqual([])
  })
})

describe("the studio's process", () => {
  /** What trains, measures or uses models, and what runs them. */
  const leftOut = /^src\/(train|stages|measure|use|features|native|engine\/(autodiff|onnx|runtime\/ort))\//
  const nativePackages = [
    'onnxruntime-node',
    'onnxruntime-web',
    'onnxruntime-common',
    'sharp',
    'koffi',
    'onnx-buf',
  ]

  it.each(['src/commands/main.ts', 'src/commands/studioLine.ts', 'src/studio/server.ts'])(
    '%s loads nothing that trains, and no native library',
    (start) => {
      const loaded = [...loadedWith(start)]
      expect(loaded.length).toBeGreaterThan(10)
      expect(loaded.filter((name) => leftOut.test(name) || nativePackages.includes(name))).toEqual([])
    },
  )

  it('would be caught if it did: the other commands load all of that', () => {
    const loaded = [...loadedWith('src/commands/program.ts')]
    expect(nativePackages.filter((name) => loaded.includes(name))).toEqual([
      'onnxruntime-node',
      'sharp',
      'koffi',
      'onnx-buf',
    ])
    expect(loaded.filter((name) => leftOut.test(name)).length).toBeGreaterThan(50)
  })
})

describe('src/index.ts, src/ops.ts, src/web.ts and src/tab/', () => {
  const globals = /\bBuffer\.[a-z]|\bprocess\.(?:env|argv|cwd|platform|pid|std|emit)/

  it.each([
    ['index.ts', 20],
    ['ops.ts', 10],
    ['web.ts', 50],
  ])('%s reaches nothing that needs Node', (entry, least) => {
    const reached = reachedFrom(imports, [entry])
    expect(reached.size).toBeGreaterThan(least)
    const native = (name: string): boolean => isNode(name) || isNative(name) || name === 'sharp'
    expect(filesThatImport(native, reached)).toEqual([])
    expect([...reached].filter((file) => nodeOnly.has(folderOf(file)))).toEqual([])
    expect([...reached].filter((file) => globals.test(sourceOf(`src/${file}`)))).toEqual([])
  })

  // Of stages, runs, data, use and report some files need Node; what a tab takes of them does not.
  it('src/tab/ reaches nothing that needs Node', () => {
    const reached = reachedFrom(
      imports,
      files.filter((file) => folderOf(file) === 'tab'),
    )
    expect(reached.has('stages/runStage.ts') && reached.has('train/loop.ts')).toBe(true)
    const native = (name: string): boolean => isNode(name) || isNative(name) || name === 'sharp'
    expect(filesThatImport(native, reached)).toEqual([])
    expect([...reached].filter((file) => globals.test(sourceOf(`src/${file}`)))).toEqual([])
  })

  it('would be caught if it did: src/node.ts reaches all three', () => {
    const reached = [...reachedFrom(imports, ['node.ts'])]
    expect(filesThatImport(isNode, reached)).not.toEqual([])
    expect(filesThatImport(isNative, reached)).not.toEqual([])
  })
})
