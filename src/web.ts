/** @file The public surface for pages and their workers: the runtime, and models opened from their files. */

export type { DeviceLimits } from './engine/runtime/runtime.ts'
export type { WasmPaths } from './engine/runtime/web/library.ts'
export { openWebRuntime, type WebRuntime, type WebRuntimeOptions } from './engine/runtime/web/runtime.ts'
export { decodeWeights, encodeWeights, halvedWeights } from './model/exportedWeights.ts'
export { runFiles } from './model/files.ts'
export { expectModelFits } from './model/fits.ts'
export type { RunInfo } from './model/info.ts'
export { type ModelParts, modelOf, type OpenedModel } from './model/model.ts'
export { openModel, type ReadFile } from './model/openModel.ts'
export { type ByteSource, encodeSafetensors, sourceOf, tensorsIn } from './stored/safetensors.ts'
