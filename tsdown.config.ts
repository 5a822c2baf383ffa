import { defineConfig } from 'tsdown'

const common = { format: 'esm', platform: 'node', clean: true } as const

export default defineConfig([
  {
    ...common,
    entry: {
      index: 'src/index.ts',
      node: 'src/node.ts',
      ops: 'src/ops.ts',
      web: 'src/web.ts',
      'commands/main': 'src/commands/main.ts',
      'studio/logThread': 'src/studio/logThread.ts',
      bench: 'bench/main.ts',
      card: 'bench/card.ts',
    },
    // What the benchmark's browser needs is loaded for that alone.
    deps: { neverBundle: ['playwright-core', 'vite'] },
    dts: true,
  },
  // Examples use what is built in dist/, by the package's name, as anybody else does.
  {
    ...common,
    entry: ['examples/*.ts', 'examples/onnx/sample.ts'],
    outDir: 'dist-examples',
    deps: { neverBundle: /^unified-latents/ },
    dts: false,
  },
])
