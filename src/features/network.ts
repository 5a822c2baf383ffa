/** @file Feature networks: an ONNX file and its description, from bytes to one row of features an image. */

import { quantiserName } from '../engine/host/pixels.ts'
import { floats, type HostTensor, showShape } from '../engine/host/tensor.ts'
import { type OnnxFile, openOnnxFile } from '../engine/runtime/node/onnxFile.ts'
import { inBatches, toInput, valuesText } from './input.ts'
import { type ImageSize, resizeImages } from './resize.ts'
import { readSidecar, type Sidecar } from './sidecar.ts'

/** An opened feature network. */
export interface FeatureNetwork {
  /** For reports, such as "FD-mixed5". */
  readonly name: string
  /** Features an image. */
  readonly dimension: number
  /** One line for the report: everything the number depends on besides the images. */
  describe(): string
  /**
   * Features of images.
   * @param pixels [N, height, width, 3] RGB bytes; `quantiseImages` makes them from [−1, 1]
   * @param signal once it is aborted, its reason is thrown after the batch under way
   * @returns [N, dimension]
   */
  features(pixels: Uint8Array, size: ImageSize, signal?: AbortSignal): Promise<Float32Array>
  dispose(): Promise<void>
}

/**
 * Rows [N, d] of an output [N, d], [N, d, 1, 1] or, where the sidecar names a token, [N, tokens, d].
 * @throws for another shape, naming it
 */
export const rowsOf = (
  output: HostTensor,
  count: number,
  token: number | undefined,
  where: string,
): Float32Array => {
  const [n, ...sizes] = output.shape
  const [tokens, d, ...rest] = token === undefined ? [1, ...sizes] : sizes
  if (n !== count || d === undefined || rest.some((size) => size !== 1) || (token ?? 0) >= tokens) {
    const wanted = token === undefined ? 'features' : `more than ${token} tokens, features`
    throw new Error(
      `${where} has shape ${showShape(output.shape)} for ${count} images; it takes [${count}, ${wanted}]`,
    )
  }
  const data = floats(output)
  if (tokens === 1) return data
  const rows = new Float32Array(count * d)
  for (let i = 0; i < count; i++) {
    const at = (i * tokens + (token ?? 0)) * d
    rows.set(data.subarray(at, at + d), i * d)
  }
  return rows
}

/** @throws when the graph has no such output, listing those it has, or more than one input. */
const expectGraph = (path: string, { inputs, outputs }: OnnxFile, output: string): void => {
  if (!outputs.includes(output)) {
    throw new Error(
      `features: ${path} has no output "${output}"; write one of ${outputs.join(', ')} into its sidecar`,
    )
  }
  if (inputs.length !== 1) {
    throw new Error(
      `features: ${path} has inputs ${inputs.map(({ name }) => name).join(', ')}; a feature network takes images alone`,
    )
  }
}

/**
 * Opens an ONNX file with its sidecar (docs/metrics.md) on the CPU, and runs one black image through it.
 * @throws one sentence when either file is missing or does not fit the other
 */
export const openFeatureNetwork = async (
  path: string,
  options: { readonly threads?: number } = {},
): Promise<FeatureNetwork> => {
  const file = await openOnnxFile(path, options).catch((cause: Error) => {
    throw new Error(`features: ${cause.message}`, { cause })
  })
  const run = async (
    sidecar: Sidecar,
    pixels: Uint8Array,
    size: ImageSize,
    signal?: AbortSignal,
  ): Promise<Float32Array> => {
    const { name, shape } = file.inputs[0]
    const fixed = shape[0] ?? null
    const where = `features: ${path}: output "${sidecar.output}"`
    const batching = { batch: fixed ?? sidecar.batch, fill: fixed !== null, signal }
    return inBatches(pixels, size, batching, async (bytes) => {
      const images = toInput(resizeImages(bytes, size, sidecar, sidecar.resize), sidecar)
      const output = await file.run({ [name]: images }, sidecar.output)
      return rowsOf(output, images.shape[0], sidecar.token, where)
    })
  }
  try {
    const sidecar = readSidecar(path)
    expectGraph(path, file, sidecar.output)
    const probe = new Uint8Array(sidecar.height * sidecar.width * 3)
    const dimension = (await run(sidecar, probe, sidecar)).length
    const { name, height, width, resize } = sidecar
    return {
      name,
      dimension,
      describe: () =>
        `${name}: ${dimension} features from ${height}×${width} (resize ${resize}), ${valuesText(sidecar)}; bytes by ${quantiserName}`,
      features: (pixels, size, signal) => run(sidecar, pixels, size, signal),
      dispose: () => file.dispose(),
    }
  } catch (error) {
    await file.dispose()
    throw error
  }
}
