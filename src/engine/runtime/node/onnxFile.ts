/** @file Runs any ONNX file on the CPU: networks that were not traced here. */
import { existsSync } from 'node:fs'
import * as ort from 'onnxruntime-node'
import './telemetry.ts'
import type { HostTensor } from '../../host/tensor.ts'

/** An opened ONNX file. */
export interface OnnxFile {
  /** Its inputs: a size is null where it may be any. */
  readonly inputs: readonly { readonly name: string; readonly shape: readonly (number | null)[] }[]
  readonly outputs: readonly string[]
  /** Runs the graph for one output. @throws what ONNX Runtime says */
  run(feeds: Readonly<Record<string, HostTensor>>, output: string): Promise<HostTensor>
  dispose(): Promise<void>
}

/**
 * Opens an ONNX file, external weights beside it included.
 * @throws one sentence when it is missing or ONNX Runtime refuses it
 */
export const openOnnxFile = async (
  path: string,
  { threads = 0 }: { readonly threads?: number } = {},
): Promise<OnnxFile> => {
  if (!existsSync(path)) throw new Error(`${path} does not exist; give the path of an ONNX file`)
  const session = await ort.InferenceSession.create(path, {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    // The first session of a process decides for all of its thread (see session.ts).
    extra: { session: { set_denormal_as_zero: '1' } },
    ...(threads > 0 ? { intraOpNumThreads: threads } : {}),
  }).catch((cause: Error) => {
    throw new Error(`${path}: ONNX Runtime cannot open it (${cause.message.trim()})`, { cause })
  })
  return {
    inputs: session.inputMetadata.map((input) => ({
      name: input.name,
      shape: input.isTensor ? input.shape.map((d) => (typeof d === 'number' ? d : null)) : [],
    })),
    outputs: session.outputNames,
    run: async (feeds, output) => {
      const wrapped = Object.entries(feeds).map(([name, { dtype, data, shape }]) => [
        name,
        new ort.Tensor(dtype, data as ort.Tensor.DataType, shape as number[]),
      ])
      const found = await session.run(Object.fromEntries(wrapped) as Record<string, ort.Tensor>, [output])
      const { type, dims, data } = found[output]
      return { dtype: type as HostTensor['dtype'], shape: dims, data: data as HostTensor['data'] }
    },
    dispose: () => session.release(),
  }
}
