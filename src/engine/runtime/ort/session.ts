/** @file Sessions and tensors of whichever ONNX Runtime is given. */
import type { HostTensor } from '../../host/tensor.ts'
import type { OnnxModel } from '../../onnx/serialize.ts'
import { explainDeviceError } from './errors.ts'
import type { OrtDevice, OrtLibrary, OrtSession, OrtTensor } from './library.ts'
import type { Profiling } from './profiling.ts'

/** Starts a session. @param stays model outputs that stay on the device @throws what to install or use instead. */
export const startSession = async (
  on: OrtDevice,
  model: OnnxModel,
  stays: (output: string) => boolean,
  profiling: Profiling | null = null,
): Promise<OrtSession> => {
  const location = Object.entries(model.outputs).map(
    ([name, own]) => [own, stays(name) ? on.location : 'cpu'] as const,
  )
  try {
    return await on.ort.InferenceSession.create(model.bytes, {
      executionProviders: [...on.providers],
      graphOptimizationLevel: 'all',
      enableMemPattern: false,
      logSeverityLevel: 3,
      preferredOutputLocation: Object.fromEntries(location),
      ...(profiling === null ? {} : { enableProfiling: true, profileFilePrefix: profiling.prefix }),
    })
  } catch (cause) {
    throw explainDeviceError(on, cause)
  }
}

/** Host memory as the library's tensor, without copying. */
export const wrapFor =
  ({ Tensor }: OrtLibrary) =>
  ({ dtype, data, shape }: HostTensor): OrtTensor =>
    new Tensor(dtype, data, [...shape])

/** Half precision by its bits: where the language has an array of it, the library gives that. */
const bitsOfHalves = ({ buffer, byteOffset, length }: Uint16Array): Uint16Array =>
  new Uint16Array(buffer, byteOffset, length)

/** A tensor in host memory as a host tensor, without copying. */
export const fromOrt = (tensor: OrtTensor): HostTensor => {
  const dtype = tensor.type as HostTensor['dtype']
  const data = tensor.data as HostTensor['data']
  return { dtype, shape: tensor.dims, data: dtype === 'float16' ? bitsOfHalves(data as Uint16Array) : data }
}
