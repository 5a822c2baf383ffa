/** @file Every family of ops: a new op is written in its family's file and is then found by name here. */
export * from './attention.ts'
export * from './conv.ts'
export * from './core.ts'
export * from './dropout.ts'
export * from './gather.ts'
export * from './matmul.ts'
export * from './norm.ts'
export * from './slice.ts'
