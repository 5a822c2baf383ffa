/** @file The GPUs that onnxruntime-node reaches, for the adapter that needs no package of its own. */
import * as ort from 'onnxruntime-node'
import './telemetry.ts'
import type { OrtDevice } from '../ort/library.ts'
import type { Device } from '../runtime.ts'
import { webGpuLimits } from './webGpuLimits.ts'

/** A device other than the CPU. */
export type Gpu = Exclude<Device, 'cpu'>

const advice: Readonly<Record<Gpu, string>> = {
  cuda: "install CUDA 13, cuDNN 9 and the provider, of which 'ul doctor' says what is missing, or use --device cpu",
  webgpu: "a Vulkan, Metal or D3D12 driver is needed ('ul doctor' says more); use --device cpu otherwise",
}

/** onnxruntime-node on a GPU. @throws when this build of ONNX Runtime cannot have a provider for it */
export const nodeGpu = (device: Gpu): OrtDevice => {
  const bundled = ort.listSupportedBackends().filter((b) => b.bundled)
  // CUDA's provider is never bundled, only installed beside it; its absence shows when a session starts.
  if (device !== 'cuda' && !bundled.some((b) => b.name === device)) {
    const names = bundled.map((b) => b.name).join(', ')
    throw new Error(`device: this onnxruntime-node has no '${device}' provider; use one of ${names}`)
  }
  return {
    ort,
    device,
    providers: [device, 'cpu'],
    location: 'gpu-buffer',
    limits: device === 'webgpu' ? webGpuLimits() : null,
    advice: advice[device],
  }
}
