import { defineConfig } from 'vitest/config'
import { slowTests } from './test/tiers.ts'

const slow = slowTests()

export default defineConfig({
  // The package by its own name is its source here, as tsconfig.json says, and not what is built.
  resolve: { tsconfigPaths: true },
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    projects: [
      // Fast tests share their modules, which take longer to load than most of them to run: none replaces one.
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: slow,
          isolate: false,
          setupFiles: 'test/properties.ts',
        },
      },
      { extends: true, test: { name: 'slow', include: slow } },
    ],
  },
})
