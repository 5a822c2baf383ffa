/** @file What the site's page of training uses: the trainer of a tab, and the formats of a run that it shows. No part of the package. */
export { checkpointsAmong } from '../runs/checkpointFormat.ts'
export type { JobEvent, StepEvent } from '../runs/events.ts'
export { runFiles, runFolders } from '../runs/files.ts'
export { type MetricRecord, recordsIn } from '../runs/metricLines.ts'
export { autoencoder } from '../stages/autoencoder.ts'
export type { StageCurve } from '../stages/stage.ts'
export { DivergedError } from '../train/loop.ts'
export { downloadOf, runFolder } from './download.ts'
export { type RunFiles, readText } from './files.ts'
export { writeModel } from './model.ts'
export {
  keepPictures,
  keptPictures,
  type OwnPicture,
  ownPictures,
  type Pictures,
  parseList,
  pictureSplit,
} from './pictures.ts'
export { beginRun, readConfig, trainRun } from './run.ts'
export {
  type Choices,
  choiceBounds,
  configOf,
  nameFault,
  type PictureChoice,
  pictureSize,
  usualChoices,
} from './settings.ts'
