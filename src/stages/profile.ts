/** @file Where a training step spends its time: kernels folded by operator and by model path. */
import type { Config } from '../config/schema.ts'
import type { Node } from '../engine/ir/graph.ts'
import type { KernelTime, Runtime } from '../engine/runtime/runtime.ts'
import { stageCost } from './info.ts'
import { expectShapes } from './possible.ts'
import { singleStep } from './singleStep.ts'
import type { Stage } from './stage.ts'

/** One row of a profile, per step. */
export interface ProfileRow {
  readonly name: string
  readonly milliseconds: number
  /** Share of all kernel time. */
  readonly share: number
  /** Kernel launches. */
  readonly launches: number
  /** Bytes read and written. */
  readonly megabytes: number
}

/** A profile of one training step, rows by falling time. */
export interface Profile {
  /** Its flag. */
  readonly stage: string
  readonly batch: number
  /** Wall clock of a step, noise and feeding included, measured without the profiler. */
  readonly stepMilliseconds: number
  readonly gflopsPerSecond: number
  /** Peak resident memory of this process when it had taken the steps, and what `describeModel` expects. */
  readonly residentBytes: number
  readonly predictedBytes: number
  /** Sum of kernel times. */
  readonly kernelMilliseconds: number
  readonly byOperator: readonly ProfileRow[]
  /** By model path, forward and backward apart. */
  readonly byLayer: readonly ProfileRow[]
  /** By op of the graph at its model path's network, forward and backward apart. */
  readonly byOp: readonly ProfileRow[]
}

/** Path components that name a layer: decoder/up/0, prior/blocks/2. */
const layerDepth = 3

/** A node's layer; gradients are traced under `d <path>`. */
const layerOf = (node: Node | null): string => {
  if (node === null) return 'added by the runtime'
  const backward = node.scope.startsWith('d ')
  const path = (backward ? node.scope.slice(2) : node.scope).split('/').slice(0, layerDepth).join('/')
  return `${path === '' ? 'top level' : path}${backward ? ' (backward)' : ''}`
}

const opOf = ({ node, operator }: KernelTime): string => {
  if (node === null) return operator
  return `${node.op.name} → ${operator}${node.scope.startsWith('d ') ? ' (backward)' : ''}`
}

const fold = (times: readonly KernelTime[], steps: number, name: (t: KernelTime) => string): ProfileRow[] => {
  const total = times.reduce((sum, { seconds }) => sum + seconds, 0)
  const groups = new Map<string, KernelTime[]>()
  for (const time of times) {
    const group = groups.get(name(time))
    if (group === undefined) groups.set(name(time), [time])
    else group.push(time)
  }
  const rows = [...groups].map(([key, group]) => {
    const seconds = group.reduce((sum, t) => sum + t.seconds, 0)
    return {
      name: key,
      milliseconds: (1000 * seconds) / steps,
      share: seconds / total,
      launches: group.length / steps,
      megabytes: group.reduce((sum, t) => sum + t.bytes, 0) / steps / 1e6,
    }
  })
  return rows.sort((a, b) => b.milliseconds - a.milliseconds)
}

const timed = async (count: number, run: (i: number) => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  for (let i = 0; i < count; i++) await run(i)
  return (performance.now() - start) / count
}

/** Profiles `steps` training steps of a stage after one to warm up. @param classes number of classes of the data */
export const profileStep = async (
  runtime: Runtime,
  config: Config,
  stage: Stage,
  classes: number,
  steps: number,
): Promise<Profile> => {
  expectShapes(config)
  const plain = await singleStep(runtime, config, stage, classes)
  await plain.run(0)
  const stepMilliseconds = await timed(steps, (i) => plain.run(i + 1))
  const residentBytes = process.resourceUsage().maxRSS * 1024
  await plain.dispose()
  const profiled = await singleStep(runtime, config, stage, classes, { profile: true })
  await timed(steps, (i) => profiled.run(i))
  const times = (await Promise.all(profiled.executables.map((executable) => executable.profile()))).flat()
  await profiled.dispose()
  return {
    stage: stage.flag,
    batch: plain.batch,
    stepMilliseconds,
    gflopsPerSecond: plain.gflops / (stepMilliseconds / 1000),
    residentBytes,
    predictedBytes: stageCost(config, stage, classes).residentBytes,
    kernelMilliseconds: (1000 * times.reduce((sum, t) => sum + t.seconds, 0)) / steps,
    byOperator: fold(times, steps, (t) => t.operator),
    byLayer: fold(times, steps, (t) => layerOf(t.node)),
    byOp: fold(times, steps, opOf),
  }
}
