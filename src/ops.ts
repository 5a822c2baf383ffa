/** @file The ops, for graphs of one's own: functions of values that `trace` records and `gradient` differentiates. */
export { attention } from './ops/attention.ts'
export { conv2d, depthToSpace, spaceToDepth } from './ops/conv.ts'
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
} from './ops/core.ts'
export { dropout, seededUniform } from './ops/dropout.ts'
export { gather, scatterAdd } from './ops/gather.ts'
export { gemm, linear, type MatmulFlags, matmul } from './ops/matmul.ts'
export { groupNorm, layerNorm, rmsNorm, softmax } from './ops/norm.ts'
export { concat, pad, slice, sliceBox, split } from './ops/slice.ts'
