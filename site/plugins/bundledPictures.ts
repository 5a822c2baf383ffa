/** @file The bundled pictures for the page of training: decoded and made small as `ul train` does it, so that both train on the same. */
import { deflateRawSync } from 'node:zlib'
import type { Plugin } from 'vite'
import { presets } from '../../src/config/presets.ts'
import { openEmoji } from '../../src/data/formats/emoji.ts'
import { picturesOf } from '../../src/tab/pictures.ts'

/** Files below `pictures/` by name. */
const made = async (): Promise<Readonly<Record<string, Uint8Array>>> => {
  const { size, skinTones } = presets.tab.data
  const { list, pixels } = await picturesOf('bundled emoji', await openEmoji({ size, skinTones }))
  return { 'emoji.json': Buffer.from(JSON.stringify(list)), 'emoji.pixels': deflateRawSync(pixels) }
}

/** Adds them to the build, and serves them while developing. */
export const bundledPictures = (): Plugin => {
  let files: ReturnType<typeof made> | undefined
  return {
    name: 'bundled-pictures',
    configureServer: (server) => {
      server.middlewares.use('/pictures', (request, response, next) => {
        files ??= made()
        files.then((all) => {
          const bytes = all[(request.url ?? '').slice(1)]
          if (bytes === undefined) next()
          else response.end(bytes)
        }, next)
      })
    },
    async generateBundle() {
      files ??= made()
      for (const [name, source] of Object.entries(await files))
        this.emitFile({ type: 'asset', fileName: `pictures/${name}`, source })
    },
  }
}
