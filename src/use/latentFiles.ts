/** @file Latents in files: images encoded to one, and decoded from one, a part in memory at a time. */
import { alone, type Collective, inRounds, leads } from '../distributed/collective.ts'
import { float32, floats, type HostTensor, sameShape } from '../engine/host/tensor.ts'
import { inspectSafetensors, readRows, writeSafetensorsRows } from '../files/safetensors.ts'
import { imageOf, latentInUse, latentOf } from '../method/config.ts'
import type { SamplerConfig } from '../method/diffusion/sampler.ts'
import { batchShape } from '../method/networks/shapes.ts'
import { batchFor, partsOf } from '../method/programs.ts'
import type { FileImages } from './images.ts'
import type { OpenedRun } from './openRun.ts'

/**
 * Encodes images and writes `z` (clean latents), `z0` (with the encoder's fixed noise) and the file names.
 * @param together processes that share the work; the leader writes
 */
export const encodeToFile = async (
  run: OpenedRun,
  images: Pick<FileImages, 'files' | 'count' | 'read'>,
  seed: number,
  out: string,
  together: Collective = alone,
): Promise<void> => {
  const { count } = images
  const batch = batchFor(count, imageOf(run.model))
  const codec = run.codec(batch)
  const latents = { dtype: 'float32', shape: batchShape(latentOf(run.model), count) } as const
  const metadata = { files: JSON.stringify(images.files), logSnr0: String(latentInUse(run.model).logSnr0) }
  const encode = async ({ first, n }: { readonly first: number; readonly n: number }) =>
    floats(await codec.encode(await images.read(first, n), seed, first))
  const encodeAll = async (write: (name: 'z' | 'z0', first: number, rows: HostTensor) => void) => {
    for await (const [{ first, n }, numbers] of inRounds(together, partsOf(count, batch), encode)) {
      const z = float32(batchShape(latentOf(run.model), n), Float32Array.from(numbers))
      write('z', first, z)
      write('z0', first, codec.addNoise(z, seed, first))
    }
  }
  try {
    if (leads(together)) await writeSafetensorsRows(out, { z: latents, z0: latents }, metadata, encodeAll)
    else await encodeAll(() => undefined)
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
  /** Names of the images that were encoded, where the file has some. */
  readonly names: readonly (string | undefined)[]
}

/** Names of the images that were encoded, by their positions; other programs write there what they like. */
const namesIn = (files: string | undefined): readonly (string | undefined)[] => {
  try {
    const names: unknown = JSON.parse(files ?? '[]')
    return Array.isArray(names) ? names.map((name) => (typeof name === 'string' ? name : undefined)) : []
  } catch {
    return []
  }
}

/** @throws in one sentence when some latents are not numbers, of which nothing could be decoded but black. */
const expectNumbers = (latents: HostTensor, where: string, first: number): void => {
  const data = floats(latents)
  const at = data.findIndex((value) => !Number.isFinite(value))
  if (at < 0) return
  const image = first + Math.floor(at / (data.length / (latents.shape[0] ?? 1)))
  throw new Error(`${where}: latent ${image} holds ${data[at]}, which is no number; encode that image again`)
}

/** Reads `z0` (or `z`, to which the noise is added) and decodes it, part by part. @throws when the latents do not fit the run, or are not numbers. */
export async function* decodeFile(
  run: OpenedRun,
  file: string,
  { seed, sampler }: { readonly seed: number; readonly sampler: SamplerConfig },
): AsyncGenerator<DecodedPart> {
  const header = inspectSafetensors(file)
  const { entries, foreign, metadata } = header
  const name = entries.has('z0') || foreign.has('z0') ? 'z0' : 'z'
  const { shape } = entries.get(name) ?? foreign.get(name) ?? {}
  if (shape === undefined)
    throw new Error(`${file}: there is no tensor 'z0' or 'z'; write it with 'ul encode'`)
  const count = shape[0] ?? 1
  const expected = batchShape(latentOf(run.model), count)
  if (!sameShape(shape, expected) || count === 0) {
    throw new Error(
      `${file}: the latents are [${shape}], this run's are [N,${expected.slice(1)}]; use the run that encoded them`,
    )
  }
  const names = namesIn(metadata.files)
  const batch = batchFor(count, imageOf(run.model))
  const codec = run.codec(batch)
  try {
    for (const part of partsOf(count, batch)) {
      const { first, n } = part
      const stored = readRows(file, header, name, part)
      expectNumbers(stored, `${file}: tensor "${name}"`, first)
      const z0 = name === 'z0' ? stored : codec.addNoise(stored, seed, first)
      const images = await codec.decode(z0, seed, sampler, first)
      yield { first, images, names: names.slice(first, first + n) }
    }
  } finally {
    await codec.dispose()
  }
}
