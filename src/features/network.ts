/** @file Feature networks: an ONNX file and its description, from bytes to one row of features an image, or a clip. */

import { quantiserName } from '../engine/host/pixels.ts'
import { floats, type HostTensor, showShape } from '../engine/host/tensor.ts'
import { type OnnxFile, openOnnxFile } from '../engine/runtime/node/onnxFile.ts'
import { inBatches, toInput, valuesText } from './input.ts'
import { type ClipSize, type ImageSize, resizeImages } from './resize.ts'
import { readSidecar, type Sidecar } from './sidecar.ts'

/** An opened feature network. */
export interface FeatureNetwork {
  /** For reports, such as "FD-mixed5". */
  readonly name: string
  /** Features an image, or a clip. */
  readonly dimension: number
  /** Frames that a clip must have at least; absent for networks of images. */
  readonly frames?: number | undefined
  /** One line for the report: everything the number depends on besides the images. */
  describe(): string
  /**
   * Features of images or clips.
   * @param pixels [N, height, width, 3] RGB bytes, of clips [N, frames, height, width, 3]; `quantiseImages` makes them from
   * [−1, 1]. A network of images sees every frame as an image of its own
   * @param signal once it is aborted, its reason is thrown after the batch under way
   * @returns [N, dimension]
   * @throws where clips have fewer frames than the network needs
   */
  features(pixels: Uint8Array, size: ClipSize, signal?: AbortSignal): Promise<Float32Array>
  dispose(): Promise<void>
}

/**
 * Rows [N, d] of an output [N, d], [N, d, 1, 1], with more ones or, where the sidecar names a token, [N, tokens, d].
 * @throws for another shape, naming it
 */
export const rowsOf = (
  output: HostTensor,
  count: number,
  token: number | undefined,
  where: string,
  kind = 'images',
): Float32Array => {
  const [n, ...sizes] = output.shape
  const [tokens, d, ...rest] = token === undefined ? [1, ...sizes] : sizes
  if (n !== count || d === undefined || rest.some((size) => size !== 1) || (token ?? 0) >= tokens) {
    const wanted = token === undefined ? 'features' : `more than ${token} tokens, features`
    throw new Error(
      `${where} has shape ${showShape(output.shape)} for ${count} ${kind}; it takes [${count}, ${wanted}]`,
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
      `features: ${path} has inputs ${inputs.map(({ name }) => name).join(', ')}; a feature network takes images, or clips, alone`,
    )
  }
}

/** @throws when the graph fixes another number of frames than its description says. */
const expectTimeAxis = (path: string, fixed: number | null, { frames }: Sidecar): void => {
  if (fixed === null || fixed === frames) return
  throw new Error(
    `features: ${path} takes clips of ${fixed} frames, its sidecar says ${frames}; write ${fixed} there`,
  )
}

/** @throws when clips are too short for a network, or of another length than its graph takes. */
const expectFrames = (
  found: number | undefined,
  { name, frames = 1 }: Sidecar,
  fixed: number | null,
): void => {
  if (found !== undefined && (fixed === null ? found >= frames : found === frames)) return
  const given = found === undefined ? 'images' : `clips of ${found} frames`
  throw new Error(
    `features: ${given}, but ${name} takes clips of ${frames} frames${fixed === null ? ' or more' : ''}; give such clips`,
  )
}

/** Images at the network's size, over that at which they are judged; values in between are not rounded. */
const resized = (pixels: Uint8Array, size: ImageSize, sidecar: Sidecar): Float32Array => {
  const { evaluateAt: at, resize } = sidecar
  if (at === undefined) return resizeImages(pixels, size, sidecar, resize)
  return resizeImages(resizeImages(pixels, size, at, at.resize), at, sidecar, resize)
}

/** What a number depends on, as far as the description says it. */
const protocolText = (sidecar: Sidecar, fixed: number | null): string => {
  const { height, width, resize, evaluateAt, frames } = sidecar
  const clips = frames === undefined ? '' : ` of clips of ${frames} frames${fixed === null ? ' or more' : ''}`
  const first =
    evaluateAt === undefined
      ? ''
      : `${evaluateAt.height}×${evaluateAt.width} (resize ${evaluateAt.resize}), then `
  return `features${clips} from ${first}${height}×${width} (resize ${resize}), ${valuesText(sidecar)}; bytes by ${quantiserName}`
}

/**
 * Opens an ONNX file with its sidecar (docs/metrics.md) on the CPU, and runs one black image, or clip, through it.
 * @throws one sentence when either file is missing or does not fit the other
 */
export const openFeatureNetwork = async (
  path: string,
  options: { readonly threads?: number } = {},
): Promise<FeatureNetwork> => {
  const file = await openOnnxFile(path, options).catch((cause: Error) => {
    throw new Error(`features: ${cause.message}`, { cause })
  })
  try {
    const sidecar = readSidecar(path)
    expectGraph(path, file, sidecar.output)
    const { name, frames, layout, output, token } = sidecar
    const [input] = file.inputs
    const fixed = { batch: input.shape[0] ?? null, frames: input.shape[layout.indexOf('t')] ?? null }
    if (frames !== undefined) expectTimeAxis(path, fixed.frames, sidecar)
    const where = `features: ${path}: output "${output}"`
    const features: FeatureNetwork['features'] = async (pixels, size, signal) => {
      if (frames !== undefined) expectFrames(size.frames, sidecar, fixed.frames)
      const each = { ...size, frames: frames === undefined ? undefined : size.frames }
      const batching = { batch: fixed.batch ?? sidecar.batch, fill: fixed.batch !== null, signal }
      return inBatches(pixels, each, batching, async (bytes) => {
        const given = toInput(resized(bytes, size, sidecar), sidecar, each.frames)
        const found = await file.run({ [input.name]: given }, output)
        return rowsOf(found, given.shape[0], token, where, frames === undefined ? 'images' : 'clips')
      })
    }
    const { height, width } = sidecar.evaluateAt ?? sidecar
    const probe = new Uint8Array((frames ?? 1) * height * width * 3)
    const dimension = (await features(probe, { height, width, frames })).length
    return {
      name,
      dimension,
      ...(frames === undefined ? {} : { frames }),
      describe: () => `${name}: ${dimension} ${protocolText(sidecar, fixed.frames)}`,
      features,
      dispose: () => file.dispose(),
    }
  } catch (error) {
    await file.dispose()
    throw error
  }
}
