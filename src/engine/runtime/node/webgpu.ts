/** @file WebGPU as onnxruntime-node reaches it, for the adapter that needs no package of its own. */
import * as ort from 'onnxruntime-node'
import './telemetry.ts'
import type { OrtDevice } from '../ort/library.ts'
import { startProfiling } from './profiling.ts'
import { webGpuLimits } from './webGpuLimits.ts'

/** onnxruntime-node on WebGPU. @throws when this build of ONNX Runtime has no provider for it */
export const nodeWebGpu = (): OrtDevice => {
  const bundled = ort.listSupportedBackends().filter((b) => b.bundled)
  if (!bundled.some((b) => b.name === 'webgpu')) {
    const names = bundled.map((b) => b.name).join(', ')
    throw new Error(`device: this onnxruntime-node has no 'webgpu' provider; use one of ${names}`)
  }
  return {
    ...{ ort, device: 'webgpu', providers: ['webgpu', 'cpu'], location: 'gpu-buffer' },
    limits: webGpuLimits(),
    startProfiling,
    advice: "a Vulkan, Metal or D3D12 driver is needed ('ul doctor' says more); use --device cpu otherwise",
  }
}
