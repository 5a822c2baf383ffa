/** @file Image grids of a run over its training. */
import type { RunImage } from '../../../../src/studio/api.ts'
import { countText } from './runTable.ts'

/** Kinds of a run's images, in the order in which they come. */
export const kindsOf = (images: readonly RunImage[]): string[] => [...new Set(images.map(({ kind }) => kind))]

/** A step that is told apart from all others: that of the finished run comes last. */
export const finishedStep: number = Number.MAX_SAFE_INTEGER

const stepOf = ({ step }: RunImage): number => step ?? finishedStep

/** Steps at which any of several runs has images of a kind, growing. */
export const stepsOf = (runs: readonly (readonly RunImage[])[], kind: string): number[] => {
  const steps = runs.flatMap((images) => images.filter((image) => image.kind === kind).map(stepOf))
  return [...new Set(steps)].sort((a, b) => a - b)
}

/** The image of a kind at a step, else the last before it; null where the run has none by then. */
export const imageAt = (images: readonly RunImage[], kind: string, step: number): RunImage | null => {
  const before = images.filter((image) => image.kind === kind && stepOf(image) <= step)
  return before.reduce<RunImage | null>(
    (last, image) => (last === null || stepOf(image) >= stepOf(last) ? image : last),
    null,
  )
}

/** What is written below an image: after which step it was made. */
export const stepText = (step: number | null): string =>
  step === null || step === finishedStep ? 'finished' : `step ${countText(step)}`
