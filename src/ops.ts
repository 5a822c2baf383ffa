/** @file The ops, for graphs of one's own: functions of values that `trace` records and `gradient` differentiates. */
export * from './engine/ops/index.ts'
