/** @file The ops, for graphs of one's own: functions of values that `trace` records and `gradient` differentiates. */
export { attention } from './engine/ops/attention.ts'
export { conv2d, depthToSpace, spaceToDepth } from './engine/ops/conv.ts'
export {
  abs,
  add,
  cast,
  constant,
  cos,
  div,
  equal,
  erf,
  exp,
  expand,
  finite,
  gelu,
  greater,
  less,
  log,
  maximum,
  minimum,
  mul,
  neg,
  type Operand,
  reduceMax,
  reduceMean,
  reduceSum,
  reduceSumSquare,
  reshape,
  sigmoid,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  stopGradient,
  sub,
  sumTo,
  tanh,
  transpose,
  where,
} from './engine/ops/core.ts'
export { dropout, seededUniform } from './engine/ops/dropout.ts'
export { gather, scatterAdd } from './engine/ops/gather.ts'
export { gemm, linear, type MatmulFlags, matmul } from './engine/ops/matmul.ts'
export { groupNorm, layerNorm, rmsNorm, softmax } from './engine/ops/norm.ts'
export { concat, pad, slice, sliceBox, split } from './engine/ops/slice.ts'
