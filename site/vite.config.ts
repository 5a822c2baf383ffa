/** @file How the site is built: three pages of one build, each of which loads what it needs; any static host serves it. */
import { fileURLToPath } from 'node:url'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import type { UserConfig } from 'vite'
import { bundledPictures } from './plugins/bundledPictures.ts'
import { contentSecurity } from './plugins/contentSecurity.ts'
import { offlineFiles, serviceWorkerEntry } from './plugins/offlineFiles.ts'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** Without these a page has one thread only; a host that does not send them gets them from the service worker. */
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

const config: UserConfig = {
  root: at('.'),
  base: './',
  plugins: [svelte(), bundledPictures(), contentSecurity(), offlineFiles()],
  resolve: { tsconfigPaths: true },
  optimizeDeps: { exclude: ['onnxruntime-web'] },
  worker: { format: 'es' },
  server: { headers, fs: { allow: [at('..')] } },
  preview: { headers },
  build: {
    outDir: at('../dist-site'),
    emptyOutDir: true,
    target: 'es2023',
    // Nothing inline, which the content security policy would refuse.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      input: {
        index: at('index.html'),
        studio: at('studio.html'),
        train: at('train.html'),
        ...serviceWorkerEntry,
      },
      output: {
        entryFileNames: ({ name }) => (name in serviceWorkerEntry ? '[name].js' : 'assets/[name]-[hash].js'),
      },
    },
  },
}

export default config
