/** @file The public surface that needs neither Node nor a browser: graph, ops, gradients, method, training. */

export { applySettings, ConfigError, parseConfig, presetByName, showConfig } from './config/load.ts'
export { presets, smokeForm } from './config/presets.ts'
export { type Config, modelConfig } from './config/schema.ts'
export { gradient } from './engine/autodiff/gradient.ts'
export { quantiseImages } from './engine/host/pixels.ts'
export * from './engine/host/tensor.ts'
export { input, type Op, scope, type Value } from './engine/ir/graph.ts'
export { checkProgram, type Program, printProgram, trace } from './engine/ir/program.ts'
export { type Emission, type OnnxModel, serialize } from './engine/onnx/serialize.ts'
export type { Outside, WeightsFile } from './engine/onnx/weights.ts'
export type { CompileOptions, Device, DeviceState, Executable, Runtime } from './engine/runtime/runtime.ts'
export { autoencoderFeeds, autoencoderObjective } from './method/autoencoder.ts'
export { baseFeeds, baseObjective } from './method/baseModel.ts'
export { type Codec, createCodec } from './method/codec.ts'
export * from './method/config.ts'
export * from './method/diffusion/process.ts'
export * from './method/diffusion/sampler.ts'
export * from './method/diffusion/schedule.ts'
export * from './method/diffusion/weighting.ts'
export {
  evaluateStage1,
  type MeasuredPart,
  type MeasuredStage1,
} from './method/evaluate.ts'
export { createGenerator, type Generator } from './method/generator.ts'
export * from './method/networks/config.ts'
export type { ImageSet } from './method/programs.ts'
export * from './method/variants.ts'
export { compareFeatureSets, type FeatureComparison } from './metrics/compareFeatures.ts'
export { type FeatureSet, featureSet } from './metrics/featureSet.ts'
export type { Evaluation } from './metrics/figures.ts'
export {
  type FeatureStatistics,
  type FrechetEstimate,
  featureStatistics,
  frechetDistance,
  smallSampleBias,
} from './metrics/frechet.ts'
export { type Kid, type KidOptions, kid, kidOfWholeSets } from './metrics/kid.ts'
export { meanAndError } from './metrics/mean.ts'
export { type PrecisionRecall, precisionRecall } from './metrics/precisionRecall.ts'
export { psnr } from './metrics/psnr.ts'
export { ssim } from './metrics/ssim.ts'
export { type BudgetLaw, type BudgetPoint, fitBudget, planBudget } from './studies/law/rateBudget.ts'
export {
  fitRateLaw,
  keptNoise,
  planRate,
  predictRate,
  type RateLaw,
  type RatePlan,
  type RatePoint,
} from './studies/law/rateLaw.ts'
export { type AdamWConfig, adamW } from './train/adamw.ts'
export { type LoopOptions, type StepReport, trainLoop } from './train/loop.ts'
export type { Objective } from './train/objective.ts'
export type { Optimizer, OptimizerState, OptimizerStep, StepValues } from './train/optimizer.ts'
export { initialState, type Layout } from './train/state.ts'
export { type StateProgram, type TrainProgram, traceTrainStep } from './train/step.ts'
export { compileStep, placeState, type TracedStep, type TrainStep, traceStep } from './train/trainStep.ts'
export { type Schedule, stepFeeds, type UpdateRule } from './train/update.ts'
