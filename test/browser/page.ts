/** @file The page of the tests: it opens a runtime once and does what it is asked to by name. */
import { trace } from '../../src/engine/ir/program.ts'
import { reduceSum } from '../../src/engine/ops/core.ts'
import type { Runtime } from '../../src/engine/runtime/runtime.ts'
import { openModel, openWebRuntime, type WebRuntime, type WebRuntimeOptions } from '../../src/web.ts'
import { cases } from '../engine/cases.ts'
import { contract } from '../engine/contract.ts'
import { type Compared, forwardOf, gradientErrors, type Run } from '../engine/opRuns.ts'
import { type Numbers, trained, used } from './work.ts'

let opened: Promise<WebRuntime> | undefined

const runtime = async (): Promise<WebRuntime['runtime']> => (await opened!).runtime

/** Only what is fetched of the model counts, so each name is kept. */
const fetched: string[] = []
const read = async (name: string): Promise<Uint8Array | null> => {
  fetched.push(name)
  const answer = await fetch(`/model/${name}`)
  return answer.ok ? new Uint8Array(await answer.arrayBuffer()) : null
}

const run: Run = async (program, feeds) => {
  const executable = await (await runtime()).compile(program)
  try {
    return await executable.run(feeds)
  } finally {
    await executable.dispose()
  }
}

/** What a page is asked for. */
export interface Jobs {
  open(options: WebRuntimeOptions): Promise<Pick<WebRuntime, 'device' | 'said'> & Pick<Runtime, 'limits'>>
  clause(name: string): Promise<unknown>
  forward(index: number): Promise<readonly Compared[]>
  gradients(index: number): Promise<readonly number[]>
  trained(): Promise<Numbers>
  /** How a program of a tensor of so many bytes is refused; null where it compiles. */
  tooLarge(bytes: number): Promise<string | null>
  used(): Promise<{ readonly numbers: Numbers; readonly fetched: readonly string[] }>
}

const jobs: Jobs = {
  open: async (options) => {
    opened = openWebRuntime(options)
    const { device, said, runtime: own } = await opened
    return { device, said, limits: own.limits }
  },
  clause: async (name) => contract[name].observe(await runtime()),
  forward: (index) => forwardOf(run, cases[index]),
  gradients: (index) => gradientErrors(run, cases[index]),
  trained: async () => trained(await runtime()),
  tooLarge: async (bytes) => {
    const large = trace('large', { x: { shape: [bytes / 4] } }, ({ x }) => ({ sum: reduceSum(x) }))
    return (await runtime()).compile(large).then(
      () => null,
      (error: Error) => error.message,
    )
  },
  used: async () => ({ numbers: await used(await openModel(await runtime(), read)), fetched }),
}

Object.assign(globalThis, { jobs })
