/** @file A page of one script for tests, built as an application would be: with Vite, onnxruntime-web and all. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

/**
 * Builds a page into a folder.
 * @param script a file of the repository, by its path from the root
 * @param root of the repository, for programs that are built themselves
 */
export const bundlePage = async (
  script: string,
  folder: string,
  root: string = fileURLToPath(new URL('../..', import.meta.url)),
): Promise<void> => {
  await build({
    ...{ root, configFile: false, publicDir: false, logLevel: 'warn' },
    resolve: { tsconfigPaths: true },
    build: {
      ...{ outDir: folder, emptyOutDir: false, target: 'esnext', minify: false, chunkSizeWarningLimit: 1e5 },
      rolldownOptions: { input: join(root, script), output: { entryFileNames: 'page.js' } },
    },
  })
  const html = '<!doctype html><title>page</title><script type="module" src="./page.js"></script>'
  writeFileSync(join(folder, 'index.html'), html)
}
