import { defineConfig } from 'tsdown'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    node: 'src/node.ts',
    ops: 'src/ops.ts',
    'commands/main': 'src/commands/main.ts',
    bench: 'bench/main.ts',
  },
  format: 'esm',
  platform: 'node',
  dts: true,
  clean: true,
})
