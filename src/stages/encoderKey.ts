/** @file What tells latents apart. */
import { createHash } from 'node:crypto'
import { encodingStream } from '../method/codec.ts'
import type { OpenedRun } from '../use/openRun.ts'

/** Hash of what the latent of an image depends on: networks that encode, their weights, the draw if any. */
export const encoderKey = ({ model, config, autoencoder }: OpenedRun): string => {
  const hash = createHash('sha256')
  const draw = model.variant.variance === 'learned' ? [encodingStream, config.seed] : null
  const clips = model.video === undefined ? [] : [model.frames, model.video]
  hash.update(JSON.stringify([model.size, model.latent, model.encoder, model.variant, draw, ...clips]))
  for (const [path, { data }] of Object.entries(autoencoder())) {
    if (!path.startsWith('encoder.')) continue
    hash.update(path).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return hash.digest('hex')
}
