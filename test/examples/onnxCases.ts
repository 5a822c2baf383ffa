/** @file What the examples of ONNX models are compared with: the run's own samples and reconstructions. */
import { float32, type HostTensor } from '../../src/engine/host/tensor.ts'
import { configGuidance, decoderSampler, latentSampler } from '../../src/model/samplers.ts'
import type { OpenedRun } from '../../src/use/openRun.ts'
import { sample } from '../../src/use/sample.ts'

/** An image of 16×16 in [−1, 1] that a byte holds exactly: a disc on a ramp. */
const byteAt = (channel: number, y: number, x: number): number =>
  Math.hypot(x - 7, y - 9) < 5 ? [220, 60, 20][channel] : 40 + 8 * x + 4 * y
export const photo: Record<'dims' | 'shape', number[]> & { readonly data: Float32Array } = {
  dims: [1, 3, 16, 16],
  shape: [1, 3, 16, 16],
  data: Float32Array.from(
    { length: 3 * 16 * 16 },
    (_, i) => byteAt(Math.floor(i / 256), Math.floor(i / 16) % 16, i % 16) / 127.5 - 1,
  ),
}

/** The same image as a binary PPM. */
export const photoPpm = (): Buffer => {
  const bytes = Array.from({ length: 16 * 16 * 3 }, (_, i) =>
    byteAt(i % 3, Math.floor(i / 48), Math.floor(i / 3) % 16),
  )
  return Buffer.from([...Buffer.from('P6\n16 16\n255\n'), ...bytes])
}

/** The largest difference of numbers; infinite where there are more of one. */
export const difference = (a: Float32Array, b: Float32Array): number =>
  a.length === b.length
    ? a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0)
    : Number.POSITIVE_INFINITY

/** A run's own images: what `ul sample` writes, and what `ul encode` and `ul decode` do. */
export const ours = (
  run: OpenedRun,
): {
  sample(labels: readonly (number | null)[], seed: number): Promise<HostTensor>
  reconstruct(image: typeof photo, seed: number): Promise<HostTensor>
} => ({
  sample: (labels, seed) =>
    sample(run, {
      facts: labels.map((label) => ({ label: label ?? -1 })),
      seed,
      sampler: latentSampler(run.config),
      guidance: configGuidance(run.config),
      decoder: decoderSampler(run.config),
    }),
  reconstruct: async ({ shape, data }, seed) => {
    const codec = run.codec(1)
    const z = await codec.encode(float32(shape, data), seed)
    const images = await codec.decode(codec.addNoise(z, seed), seed, decoderSampler(run.config))
    await codec.dispose()
    return images
  },
})
