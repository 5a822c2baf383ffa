/** @file The op objects of every family, for tests that hold for each op. */
import type { Op } from '../ir/graph.ts'
import { orderOps } from './after.ts'
import { convOps } from './conv.ts'
import { coreOps } from './core.ts'
import { gatherOps } from './gather.ts'
import { matmulOps } from './matmul.ts'
import { normOps } from './norm.ts'
import { sliceOps } from './slice.ts'

/** Every op object of the project. */
export const allOps: readonly Op<unknown>[] = [
  coreOps,
  orderOps,
  matmulOps,
  sliceOps,
  convOps,
  gatherOps,
  normOps,
].flat()
