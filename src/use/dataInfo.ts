/** @file What a run keeps of its data. */
import { type DataSplit, imagesHash } from '../data/images/source.ts'
import type { RunInfo } from '../model/info.ts'

/** What a run keeps of its data. */
export const infoOf = ({ train, validation, skipped }: DataSplit): RunInfo => ({
  version: 1,
  classes: train.classes,
  trainCount: train.count,
  validationCount: validation.count,
  pictures: imagesHash(train),
  skipped: skipped.map(({ file, reason }) => `${file}: ${reason}`),
})
