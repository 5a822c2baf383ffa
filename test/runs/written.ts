/** @file Contents of a run's files, for runs that tests write by hand. */
import type { FeatureComparison } from '../../src/metrics/compareFeatures.ts'
import type { Evaluation, Quality } from '../../src/metrics/figures.ts'
import type { RunInfo } from '../../src/model/info.ts'

/** What two classes of images gave. */
export const info: RunInfo = {
  version: 1,
  classes: ['a', 'b'],
  trainCount: 8,
  validationCount: 2,
  skipped: [],
}

/** Figures of a stage 1 with a rate in bits per pixel and a PSNR in dB; the others are made up. */
export const evaluationOf = (bits: number, psnr = 20, error = 0.5): Evaluation => {
  const measured = (mean: number) => ({ mean, error })
  return {
    count: 2,
    psnr: measured(psnr),
    ssim: null,
    gridPsnr: measured(15),
    bitsPerPixel: measured(bits),
    bitsPerDim: measured(2 * bits),
    priorNats: measured(300 * bits),
    terminalNats: measured(0.01),
    decoderNats: measured(2000),
    latentRms: 0.5,
    imagesPerSecond: 100,
  }
}

/** A comparison of 8 images a side with a Fréchet distance, and a KID of a hundredth of it. */
export const comparisonOf = (frechet: number): FeatureComparison => ({
  frechet,
  frechetExtrapolated: null,
  bias: null,
  kid: { mean: frechet / 100, error: 0 },
  precision: 0.75,
  recall: 0.25,
  realCount: 8,
  fakeCount: 8,
})

/** How 8 images of each kind were compared. */
export const protocol: Quality['protocol'] = {
  network: 'n',
  quantiser: 'q',
  reconstructionsOf: '8 images',
  samplesAgainst: '8 samples',
  latentSampler: 'l',
  decoderSampler: 'd',
  guidance: 1,
}

/** Distances of reconstructions and of samples; null where they were not measured. */
export const qualityOf = (reconstruction: number | null, generation: number | null): Quality => ({
  protocol,
  reconstruction: reconstruction === null ? null : comparisonOf(reconstruction),
  generation: generation === null ? null : comparisonOf(generation),
})
