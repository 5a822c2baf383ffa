/** @file A feature network of a few means for 16×16 images. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { plainModel } from '../../src/engine/onnx/plain.ts'
import { sidecarPath } from '../../src/features/sidecar.ts'

/** Writes a network that gives the means of the four quarters of each channel: twelve features. */
export const writeQuarters = (folder: string): string => {
  const file = join(folder, 'quarters.onnx')
  const pool = { kernel_shape: { is: [8, 8] }, strides: { is: [8, 8] } }
  const model = plainModel({
    name: 'quarters',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 3, 16, 16] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['N', 12] }],
    nodes: [
      { name: 'pool', opType: 'AveragePool', inputs: ['x'], outputs: ['p'], attrs: pool },
      { name: 'flat', opType: 'Flatten', inputs: ['p'], outputs: ['y'] },
    ],
    constants: {},
  })
  writeFileSync(file, model)
  const side = { height: 16, width: 16 }
  const sidecar = { name: 'quarters', ...side, resize: 'none', layout: 'nchw', range: [0, 1], output: 'y' }
  writeFileSync(sidecarPath(file), JSON.stringify(sidecar))
  return file
}
