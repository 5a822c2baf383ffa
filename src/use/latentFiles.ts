/** @file Latents in files: images encoded to one, and decoded from one. */
import { float32, floats, type HostTensor } from '../engine/host/tensor.ts'
import { readSafetensors, writeSafetensors } from '../files/safetensors.ts'
import type { SamplerConfig } from '../method/diffusion/sampler.ts'
import { batchFor } from '../method/programs.ts'
import { imageShape, latentShape } from '../method/stage1.ts'
import type { LoadedImages } from './images.ts'
import type { OpenedRun } from './openRun.ts'

/** Encodes images and writes `z` (clean latents), `z0` (with the encoder's fixed noise) and the file names. */
export const encodeToFile = async (
  run: OpenedRun,
  images: LoadedImages,
  seed: number,
  out: string,
): Promise<void> => {
  const codec = run.codec(batchFor(images.files.length, run.model.size))
  const z = await codec.encode(images.images, seed)
  const shape = latentShape(run.model, images.files.length)
  const tensors = { z: float32(shape, z), z0: float32(shape, codec.addNoise(z, seed)) }
  await codec.dispose()
  writeSafetensors(out, tensors, {
    files: JSON.stringify(images.files),
    logSnr0: String(run.model.latent.logSnr0),
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
  const count = stored.shape[0] ?? 0
  const expected = latentShape(run.model, count)
  if (stored.shape.length !== 4 || stored.shape.some((d, i) => d !== expected[i]) || count === 0) {
    throw new Error(
      `${file}: the latents are [${stored.shape}], this run's are [N,${expected.slice(1)}]; use the run that encoded them`,
    )
  }
  const codec = run.codec(batchFor(count, run.model.size))
  const z0 = tensors.z0 === undefined ? codec.addNoise(floats(stored), options.seed) : floats(stored)
  const data = await codec.decode(z0, options.seed, options.sampler)
  await codec.dispose()
  const names = metadata.files === undefined ? [] : (JSON.parse(metadata.files) as string[])
  return { images: float32(imageShape(run.model, count), data), names }
}
