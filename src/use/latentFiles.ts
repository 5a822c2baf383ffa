/** @file Latents in files: images encoded to one, and decoded from one, a part in memory at a time. */
import { type HostTensor, sameShape } from '../engine/host/tensor.ts'
import { inspectSafetensors, readRows, writeSafetensorsRows } from '../files/safetensors.ts'
import { imageOf, latentOf } from '../method/config.ts'
import type { SamplerConfig } from '../method/diffusion/sampler.ts'
import { batchShape } from '../method/networks/shapes.ts'
import { batchFor, partsOf } from '../method/programs.ts'
import type { FileImages } from './images.ts'
import type { OpenedRun } from './openRun.ts'

/** Encodes images and writes `z` (clean latents), `z0` (with the encoder's fixed noise) and the file names. */
export const encodeToFile = async (
  run: OpenedRun,
  images: Pick<FileImages, 'files' | 'count' | 'read'>,
  seed: number,
  out: string,
): Promise<void> => {
  const { count } = images
  const batch = batchFor(count, imageOf(run.model))
  const codec = run.codec(batch)
  const latents = { dtype: 'float32', shape: batchShape(latentOf(run.model), count) } as const
  const metadata = { files: JSON.stringify(images.files), logSnr0: String(run.model.latent.logSnr0) }
  try {
    await writeSafetensorsRows(out, { z: latents, z0: latents }, metadata, async (write) => {
      for (const { first, n } of partsOf(count, batch)) {
        const z = await codec.encode(await images.read(first, n), seed, first)
        write('z', first, z)
        write('z0', first, codec.addNoise(z, seed, first))
      }
    })
  } finally {
    await codec.dispose()
  }
}

/** Images that were decoded, of all that a file holds. */
export interface DecodedPart {
  /** Number of the first. */
  readonly first: number
  /** [n, 3, H, W] in [−1, 1] */
  readonly images: HostTensor
  /** Names of the images that were encoded; empty where the file has none. */
  readonly names: readonly string[]
}

/** Reads `z0` (or `z`, to which the noise is added) and decodes it, part by part. @throws when the latents do not fit the run. */
export async function* decodeFile(
  run: OpenedRun,
  file: string,
  { seed, sampler }: { readonly seed: number; readonly sampler: SamplerConfig },
): AsyncGenerator<DecodedPart> {
  const header = inspectSafetensors(file)
  const { entries, metadata } = header
  const name = entries.has('z0') ? 'z0' : 'z'
  const { shape } = entries.get(name) ?? {}
  if (shape === undefined)
    throw new Error(`${file}: there is no tensor 'z0' or 'z'; write it with 'ul encode'`)
  const count = shape[0] ?? 1
  const expected = batchShape(latentOf(run.model), count)
  if (!sameShape(shape, expected) || count === 0) {
    throw new Error(
      `${file}: the latents are [${shape}], this run's are [N,${expected.slice(1)}]; use the run that encoded them`,
    )
  }
  const names = metadata.files === undefined ? [] : (JSON.parse(metadata.files) as string[])
  const batch = batchFor(count, imageOf(run.model))
  const codec = run.codec(batch)
  try {
    for (const part of partsOf(count, batch)) {
      const { first, n } = part
      const stored = readRows(file, header, name, part)
      const z0 = name === 'z0' ? stored : codec.addNoise(stored, seed, first)
      const images = await codec.decode(z0, seed, sampler, first)
      yield { first, images, names: names.slice(first, first + n) }
    }
  } finally {
    await codec.dispose()
  }
}
