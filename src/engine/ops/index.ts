/** @file All ops by family, for the generic op test and for imports by name. */
import type { Op } from '../ir/graph.ts'
import * as conv from './conv.ts'
import * as core from './core.ts'
import * as gather from './gather.ts'
import * as matmul from './matmul.ts'
import * as norm from './norm.ts'
import * as slice from './slice.ts'

/** Every op object of the project. */
export const allOps: readonly Op<unknown>[] = [core, matmul, slice, conv, gather, norm].flatMap(
  (family) => family.ops,
)
