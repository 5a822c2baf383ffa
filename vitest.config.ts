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
      { extends: true, test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: slow } },
      { extends: true, test: { name: 'slow', include: slow } },
    ],
  },
})
