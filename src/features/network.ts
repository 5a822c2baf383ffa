/** @file Feature networks: an ONNX file and its description, from bytes to one row of features a picture. */
import { float32, floats, type HostTensor, showShape } from '../host/tensor.ts'
import { type OnnxFile, openOnnxFile } from '../runtime/node/onnxFile.ts'
import { quantiserName } from './quantise.ts'
import { type PictureSize, resizePictures } from './resize.ts'
import { readSidecar, type Sidecar } from './sidecar.ts'

/** An opened feature network. */
export interface FeatureNetwork {
  /** For reports, such as "FD-mixed5". */
  readonly name: string
  /** Features a picture. */
  readonly dimension: number
  /** One line for the report: everything the number depends on besides the pictures. */
  describe(): string
  /**
   * Features of pictures.
   * @param pixels [N, height, width, 3] RGB bytes; `quantisePictures` makes them from [−1, 1]
   * @returns [N, dimension]
   */
  features(pixels: Uint8Array, size: PictureSize): Promise<Float32Array>
  dispose(): Promise<void>
}

/**
 * Rows [N, d] of an output [N, d], [N, d, 1, 1] or, where the sidecar names a token, [N, tokens, d].
 * @throws for another shape, naming it
 */
const rowsOf = (
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
      `${where} has shape ${showShape(output.shape)} for ${count} pictures; it takes [${count}, ${wanted}]`,
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

/** Channel values as the network wants them: scale·byte + offset. */
const affine = ({ range, mean, std }: Sidecar): readonly (readonly [number, number])[] =>
  [0, 1, 2].map((c) => {
    if (mean !== undefined && std !== undefined) return [1 / (255 * std[c]), -mean[c] / std[c]]
    const [low, high] = range ?? [0, 1]
    return [(high - low) / 255, low]
  })

/** Resized pictures [N, H, W, 3] in 0 … 255 in the network's range, channel order and layout. */
const toInput = (resized: Float32Array, sidecar: Sidecar): HostTensor => {
  const { height, width, layout, channels } = sidecar
  const plane = height * width
  const count = resized.length / (3 * plane)
  const map = affine(sidecar)
  const out = new Float32Array(resized.length)
  for (let n = 0; n < count; n++) {
    for (let c = 0; c < 3; c++) {
      const [scale, offset] = map[c]
      const source = n * 3 * plane + (channels === 'rgb' ? c : 2 - c)
      for (let p = 0; p < plane; p++) {
        const to = layout === 'nchw' ? (n * 3 + c) * plane + p : (n * plane + p) * 3 + c
        out[to] = scale * resized[source + 3 * p] + offset
      }
    }
  }
  return float32(layout === 'nchw' ? [count, 3, height, width] : [count, height, width, 3], out)
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
      `features: ${path} has inputs ${inputs.map(({ name }) => name).join(', ')}; a feature network takes pictures alone`,
    )
  }
}

/**
 * Opens an ONNX file with its sidecar (docs/metrics.md) on the CPU, and runs one black picture through it.
 * @throws one sentence when either file is missing or does not fit the other
 */
export const openFeatureNetwork = async (
  path: string,
  options: { readonly threads?: number } = {},
): Promise<FeatureNetwork> => {
  const file = await openOnnxFile(path, options).catch((cause: Error) => {
    throw new Error(`features: ${cause.message}`, { cause })
  })
  const run = async (sidecar: Sidecar, pixels: Uint8Array, size: PictureSize): Promise<Float32Array> => {
    const { name, shape } = file.inputs[0]
    const fixed = shape[0] ?? null
    const batch = fixed ?? sidecar.batch
    const each = size.height * size.width * 3
    const count = pixels.length / each
    if (!Number.isInteger(count)) {
      throw new Error(`features: ${pixels.length} bytes are not pictures of ${size.height}×${size.width}×3`)
    }
    const parts: Float32Array[] = []
    for (let from = 0; from < count; from += batch) {
      const taken = Math.min(batch, count - from)
      // A graph with a fixed batch gets black pictures behind the last ones.
      const bytes = new Uint8Array((fixed ?? taken) * each)
      bytes.set(pixels.subarray(from * each, (from + taken) * each))
      const images = toInput(resizePictures(bytes, size, sidecar, sidecar.resize), sidecar)
      const output = await file.run({ [name]: images }, sidecar.output)
      const rows = rowsOf(
        output,
        images.shape[0],
        sidecar.token,
        `features: ${path}: output "${sidecar.output}"`,
      )
      parts.push(rows.subarray(0, (rows.length / images.shape[0]) * taken))
    }
    const all = new Float32Array(parts.reduce((n, part) => n + part.length, 0))
    let at = 0
    for (const part of parts) {
      all.set(part, at)
      at += part.length
    }
    return all
  }
  try {
    const sidecar = readSidecar(path)
    expectGraph(path, file, sidecar.output)
    const probe = new Uint8Array(sidecar.height * sidecar.width * 3)
    const dimension = (await run(sidecar, probe, sidecar)).length
    const { name, height, width, resize, range, mean, std } = sidecar
    const values =
      range === undefined ? `mean ${mean?.join(', ')}, std ${std?.join(', ')}` : `range ${range.join(' … ')}`
    return {
      name,
      dimension,
      describe: () =>
        `${name}: ${dimension} features from ${height}×${width} (resize ${resize}), ${values}; bytes by ${quantiserName}`,
      features: (pixels, size) => run(sidecar, pixels, size),
      dispose: () => file.dispose(),
    }
  } catch (error) {
    await file.dispose()
    throw error
  }
}
