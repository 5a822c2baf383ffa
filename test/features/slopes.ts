/** @file A clip feature network whose features are known: how much each colour gains from frame to frame. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { float32 } from '../../src/engine/host/tensor.ts'
import { plainModel } from '../../src/engine/onnx/plain.ts'
import type { OnnxNode } from '../../src/engine/onnx/proto.ts'
import { sidecarPath } from '../../src/features/sidecar.ts'

/** What of it differs from one network to another. */
export interface SlopesOptions {
  readonly side?: number
  /** Frames of a clip where the graph fixes them. */
  readonly fixed?: number
  readonly batch?: number
  readonly layout?: 'ncthw' | 'nthwc'
  /** Keys of the sidecar; undefined leaves one out. */
  readonly sidecar?: Readonly<Record<string, unknown>>
}

let written = 0

/**
 * Writes a network that convolves over time with −1, 1 and averages over time and places: its three features of a clip are
 * (mean of the last frame − mean of the first)/(T − 1).
 */
export const writeSlopes = (
  folder: string,
  { side = 2, fixed, batch, layout = 'ncthw', sidecar = {} }: SlopesOptions = {},
): string => {
  const file = join(folder, `slopes${written++}.onnx`)
  const [N, T] = [batch ?? 'N', fixed ?? 'T']
  const isLast = layout === 'nthwc'
  const kernel = Array.from({ length: 18 }, (_, i) => {
    const [out, into, t] = [Math.floor(i / 6), Math.floor(i / 2) % 3, i % 2]
    return out === into ? 2 * t - 1 : 0
  })
  const nodes: Omit<OnnxNode, 'name'>[] = [
    ...(isLast
      ? [{ opType: 'Transpose', inputs: ['x'], outputs: ['t'], attrs: { perm: { is: [0, 4, 1, 2, 3] } } }]
      : []),
    { opType: 'Conv', inputs: [isLast ? 't' : 'x', 'kernel'], outputs: ['d'] },
    { opType: 'GlobalAveragePool', inputs: ['d'], outputs: ['y'] },
  ]
  const model = plainModel({
    name: 'slopes',
    inputs: [{ name: 'x', dtype: 'float32', shape: isLast ? [N, T, side, side, 3] : [N, 3, T, side, side] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: [N, 3, 1, 1, 1] }],
    nodes: nodes.map((node, i) => ({ name: `n${i}`, ...node })),
    constants: { kernel: float32([3, 3, 2, 1, 1], kernel) },
  })
  writeFileSync(file, model)
  const size = { height: side, width: side }
  const base = { name: 'slopes', ...size, resize: 'none', layout, frames: 2, range: [0, 255], output: 'y' }
  writeFileSync(sidecarPath(file), JSON.stringify({ ...base, ...sidecar }))
  return file
}
