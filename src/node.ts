/** @file The public surface for Node: the runtime, the data sources and the jobs behind the command line. */

export type { DataSplit, ImageSource } from './data/images/source.ts'
export {
  type DataOptions,
  isMovingSource,
  type MovingScene,
  type MovingSource,
  type MovingSprite,
  openData,
  type Place,
  placesAt,
  renderFrame,
  type Sprite,
} from './data/open.ts'
export { joinMpiJob, type MpiJob } from './distributed/mpi/mpi.ts'
export type { CudaOptions } from './engine/runtime/node/devices.ts'
export type { Precision } from './engine/runtime/node/precision.ts'
export { NodeRuntime, type NodeRuntimeOptions } from './engine/runtime/node/runtime.ts'
export { type ClipModel, type HubOptions, openClip, openHubNetwork } from './features/hub.ts'
export { buildMixed5, defaultFeatureFile } from './features/mixed5.ts'
export { type FeatureNetwork, openFeatureNetwork } from './features/network.ts'
export { readSafetensors, writeSafetensors } from './files/safetensors.ts'
export { type ClipDistanceOptions, clipDistance } from './measure/clipDistance.ts'
export { forClips } from './measure/features.ts'
export { reconstruct } from './measure/reconstruct.ts'
export { type ClipOptions, clipGif, clipWebp, contactSheet, writeClip } from './report/clip.ts'
export type { JobEvent, Listener } from './runs/events.ts'
export { describeModel, type ModelInfo } from './stages/info.ts'
export { type Lesson, studentConfig } from './stages/student.ts'
export { type TrainRequest, type TrainResult, train } from './stages/train.ts'
export { type Plan, type PlanRequest, planRuns } from './studies/plan.ts'
export { type DataDescription, describeData } from './use/describeData.ts'
export { type FileImages, openImages } from './use/images.ts'
export { type DecodedPart, decodeFile, encodeToFile } from './use/latentFiles.ts'
export { type OpenedRun, openRun } from './use/openRun.ts'
export { sample, sampleParts } from './use/sample.ts'
