/** @file The public surface that needs neither Node nor a browser: graph, ops, gradients, method, training. */

export { applySettings, ConfigError, parseConfig, presetByName, showConfig } from './config/load.ts'
export { presets, smokeForm } from './config/presets.ts'
export { type Config, modelConfig } from './config/schema.ts'
export { alone, type Collective } from './distributed/collective.ts'
export { gradient } from './engine/autodiff/gradient.ts'
export { framesFrom, framesOf } from './engine/host/clips.ts'
export { type Part, wholeBatch } from './engine/host/part.ts'
export { quantiseImages, toNchw } from './engine/host/pixels.ts'
export {
  cropToSquare,
  padToSquare,
  type RawImage,
  type RgbImage,
  rawToRgb,
  resizeSquare,
} from './engine/host/squares.ts'
export * from './engine/host/tensor.ts'
export { input, type Op, scope, type Value } from './engine/ir/graph.ts'
export { checkProgram, type Program, printProgram, trace } from './engine/ir/program.ts'
export {
  applyLinear,
  type LinearSpec,
  type LogSnrSpec,
  linearSpec,
  logSnrEmbedding,
  logSnrSpec,
} from './engine/nn/layers.ts'
export { type Bound, type Network, type Networks, networkOf } from './engine/nn/network.ts'
export { initialParams, type ParamSpec, type Params, param, type Spec } from './engine/nn/params.ts'
export { type Emission, type OnnxModel, serialize } from './engine/onnx/serialize.ts'
export type { Outside, WeightsFile } from './engine/onnx/weights.ts'
export type { CompileOptions, Device, DeviceState, Executable, Runtime } from './engine/runtime/runtime.ts'
export { autoencoderFeeds, autoencoderObjective } from './method/autoencoder.ts'
export { baseFeeds, baseObjective } from './method/baseModel.ts'
export {
  type Chain,
  type ChainAt,
  predicted,
  runChain,
  type StepInputs,
  type StepProgram,
  stepInputs,
  stepUpdates,
  takeStep,
  type Watch,
} from './method/chain.ts'
export { type Codec, createCodec } from './method/codec.ts'
export * from './method/config.ts'
export * from './method/diffusion/draws.ts'
export * from './method/diffusion/process.ts'
export * from './method/diffusion/sampler.ts'
export * from './method/diffusion/schedule.ts'
export * from './method/diffusion/weighting.ts'
export {
  createTermsEstimator,
  evaluateStage1,
  type MeasuredPart,
  type MeasuredStage1,
  type TermsEstimator,
} from './method/evaluate.ts'
export { createGenerator, type GenerationRequest, type Generator } from './method/generator.ts'
export { type Kept, withKept } from './method/kept.ts'
export * from './method/networks/config.ts'
export { drawnLevels } from './method/objective/schedules.ts'
export { type ImageSet, imageSetOf } from './method/programs.ts'
export * from './method/variants.ts'
export { type ImageMetric, meansByFrame, valuesByFrame } from './metrics/byFrame.ts'
export { frechetOverFolds, meanOverFrames, type OverFolds } from './metrics/clipFeatures.ts'
export { compareFeatureSets, type FeatureComparison } from './metrics/compareFeatures.ts'
export { type FeatureSet, featureSet } from './metrics/featureSet.ts'
export type { ClipDistance, Evaluation, GivenFrames } from './metrics/figures.ts'
export {
  type FeatureStatistics,
  type FrechetEstimate,
  featureStatistics,
  frechetDistance,
  smallSampleBias,
} from './metrics/frechet.ts'
export { type Kid, type KidOptions, kid, kidOfWholeSets } from './metrics/kid.ts'
export { meanAndError } from './metrics/mean.ts'
export {
  type FoundPosition,
  type Position,
  type PositionSearch,
  positionErrors,
  positionsIn,
} from './metrics/position.ts'
export { type PrecisionRecall, precisionRecall } from './metrics/precisionRecall.ts'
export { psnr } from './metrics/psnr.ts'
export { heat, type RateElements, ratesByPlace } from './metrics/ratesByPlace.ts'
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
export { type FrozenProgram, traceFrozen, type Weights } from './train/frozen.ts'
export { type LoopOptions, type StepReport, trainLoop } from './train/loop.ts'
export { type MuonConfig, muon } from './train/muon.ts'
export { type InputSpecs, type Objective, objectiveOf, type Traced } from './train/objective.ts'
export type { Optimizer, OptimizerState, OptimizerStep, StepValues } from './train/optimizer.ts'
export { initialState, type Layout, readAverages } from './train/state.ts'
export { type StateProgram, type TrainProgram, traceTrainStep } from './train/step.ts'
export { compileStep, placeState, type TracedStep, type TrainStep, traceStep } from './train/trainStep.ts'
export { type StepSchedule, stepFeeds, type UpdateRule } from './train/update.ts'
