/** @file Latents in files: images encoded to one, and decoded from one. */
import { countOf, type HostTensor, sameShape } from '../engine/host/tensor.ts'
import { readSafetensors, writeSafetensors } from '../files/safetensors.ts'
import { imageOf, latentInUse, latentOf } from '../method/config.ts'
import type { SamplerConfig } from '../method/diffusion/sampler.ts'
import { batchShape } from '../method/networks/shapes.ts'
import { batchFor } from '../method/programs.ts'
import type { LoadedImages } from './images.ts'
import type { OpenedRun } from './openRun.ts'

/** Encodes images and writes `z` (clean latents), `z0` (with the encoder's fixed noise) and the file names. */
export const encodeToFile = async (
  run: OpenedRun,
  images: LoadedImages,
  seed: number,
  out: string,
): Promise<void> => {
  const codec = run.codec(batchFor(images.files.length, imageOf(run.model)))
  const z = await codec.encode(images.images, seed)
  const tensors = { z, z0: codec.addNoise(z, seed) }
  await codec.dispose()
  writeSafetensors(out, tensors, {
    files: JSON.stringify(images.files),
    logSnr0: String(latentInUse(run.model).logSnr0),
  })
}

/** Reads `z0` (or `z`, to which the noise is added) and decodes it. @throws when the latents do not fit the run. */
export const decodeFile = async (
  run: OpenedRun,
  file: string,
  options: { readonly seed: number; readonly sampler: SamplerConfig },
): Promise<{ readonly images: HostTensor; readonly names: readonly string[] }> => {
  const { tensors, metadata } = readSafetensors(file)
  const stored = tensors.z0 ?? tensors.z
  if (stored === undefined)
    throw new Error(`${file}: there is no tensor 'z0' or 'z'; write it with 'ul encode'`)
  const count = countOf(stored)
  const expected = batchShape(latentOf(run.model), count)
  if (!sameShape(stored.shape, expected) || count === 0) {
    throw new Error(
      `${file}: the latents are [${stored.shape}], this run's are [N,${expected.slice(1)}]; use the run that encoded them`,
    )
  }
  const codec = run.codec(batchFor(count, imageOf(run.model)))
  const z0 = tensors.z0 === undefined ? codec.addNoise(stored, options.seed) : stored
  const images = await codec.decode(z0, options.seed, options.sampler)
  await codec.dispose()
  const names = metadata.files === undefined ? [] : (JSON.parse(metadata.files) as string[])
  return { images, names }
}
