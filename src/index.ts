/** @file The public surface that needs neither Node nor a browser: graph, ops, gradients, method, training. */
export { gradient } from './autodiff/gradient.ts'
export { applySettings, ConfigError, parseConfig, presetByName, showConfig } from './config/load.ts'
export { presets, smokeForm } from './config/presets.ts'
export { type Config, modelConfig } from './config/schema.ts'
export * from './diffusion/process.ts'
export * from './diffusion/sampler.ts'
export * from './diffusion/schedule.ts'
export * from './diffusion/weighting.ts'
export { compareFeatureSets, type FeatureComparison } from './eval/compareFeatures.ts'
export { type FeatureSet, featureSet } from './eval/featureSet.ts'
export {
  type FeatureStatistics,
  type FrechetEstimate,
  featureStatistics,
  frechetDistance,
  smallSampleBias,
} from './eval/frechet.ts'
export { type Kid, type KidOptions, kid, kidOfWholeSets } from './eval/kid.ts'
export { meanAndError } from './eval/mean.ts'
export { type PrecisionRecall, precisionRecall } from './eval/precisionRecall.ts'
export { psnr } from './eval/psnr.ts'
export { type BudgetLaw, type BudgetPoint, fitBudget, planBudget } from './eval/rateBudget.ts'
export {
  fitRateLaw,
  keptNoise,
  planRate,
  predictRate,
  type RateLaw,
  type RatePlan,
  type RatePoint,
} from './eval/rateLaw.ts'
export { ssim } from './eval/ssim.ts'
export { quantisePictures } from './host/pixels.ts'
export * from './host/tensor.ts'
export { input, type Op, scope, type Value } from './ir/graph.ts'
export { checkProgram, type Program, printProgram, trace } from './ir/program.ts'
export * from './models/config.ts'
export * from './models/unifiedLatents.ts'
export { serialize } from './onnx/serialize.ts'
export { type AdamWConfig, adamW } from './optim/adamw.ts'
export { type Codec, createCodec } from './pipeline/codec.ts'
export {
  type Evaluation,
  evaluateStage1,
  type MeasuredPart,
  type MeasuredStage1,
  type PictureSet,
} from './pipeline/evaluate.ts'
export { createGenerator, type Generator } from './pipeline/generator.ts'
export { stage1Feeds, stage1Objective } from './pipeline/stage1.ts'
export { stage2Feeds, stage2Objective } from './pipeline/stage2.ts'
export type { CompileOptions, Device, DeviceState, Executable, Runtime } from './runtime/runtime.ts'
export { trainLoop } from './train/loop.ts'
export { type Objective, traceTrainStep } from './train/step.ts'
