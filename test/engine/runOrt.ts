/** @file A program run once on ONNX Runtime in Node. */
import type { HostTensor } from '../../src/engine/host/tensor.ts'
import type { EmissionTarget } from '../../src/engine/ir/graph.ts'
import type { Program } from '../../src/engine/ir/program.ts'
import { runOnce } from '../method/support.ts'
import { asDoubles, type Typed } from './opRuns.ts'

/** Runs a program on ONNX Runtime; its outputs as dtype, shape and doubles. */
export const runOrt = async (
  program: Program,
  feeds: Readonly<Record<string, HostTensor>>,
  target: EmissionTarget = 'cpu',
): Promise<Record<string, Typed>> => asDoubles(await runOnce(program, feeds, target))
