/** @file The page of the benchmark: ours and its peers side by side, each doing the case that ours has prepared. */
import type { HostTensor } from '../../src/engine/host/tensor.ts'
import type { Runtime } from '../../src/engine/runtime/runtime.ts'
import { openWebRuntime, type WebRuntimeOptions } from '../../src/web.ts'
import type { HandOver } from '../case.ts'
import type { Prepared } from '../peer.ts'
import { checkedWork, type Given } from '../peers/given.ts'
import { type Jax, jaxWork } from '../peers/jaxBlocks.ts'
import { type TensorFlow, tfjsWork } from '../peers/tfjsBlocks.ts'
import { caseInPage } from './cases.ts'

type Run = () => Promise<unknown>

let ours: { readonly runtime: Runtime; readonly description: string } | undefined
/** What peers are given: the case that ours prepared last. */
let given: Given | undefined
const runs = new Map<string, Run>()

const givenBy = ({ params, inputs, expected, info }: HandOver): Given => {
  const { kind, headWidth = 0 } = info as { readonly kind: string; readonly headWidth?: number }
  const copied = (tensors: Readonly<Record<string, HostTensor>>): Record<string, HostTensor> =>
    Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]),
    )
  return { kind, headWidth, params: copied(params), inputs: copied(inputs), expected: copied(expected) }
}

const prepareOurs = async (name: string): Promise<{ readonly run: Run } & Prepared> => {
  const { runtime, description } = ours!
  const { gflops, run } = await caseInPage(name).prepare(runtime, (parts) => {
    given = givenBy(parts)
  })
  return { gflops, run, errors: {}, description }
}

/** What a browser says of the machine. */
const { navigator } = globalThis as { readonly navigator?: { readonly hardwareConcurrency?: number } }

const prepareTfjs = async (backend: string): Promise<{ readonly run: Run } & Prepared> => {
  const threads = navigator?.hardwareConcurrency ?? 1
  const library: unknown = await import('@tensorflow/tfjs')
  const tf = library as TensorFlow
  const wasm = await import('@tensorflow/tfjs-backend-wasm')
  wasm.setWasmPaths('/tfjs/')
  wasm.setThreadsCount(threads)
  if (!(await tf.setBackend(backend))) throw new Error(`its backend ${backend} does not start here`)
  const description = `TensorFlow.js ${tf.version_core}, ${backend}, ${threads} threads`
  return { description, ...(await checkedWork(tfjsWork(tf, given!), given!)) }
}

const prepareJax = async (backend: string): Promise<{ readonly run: Run } & Prepared> => {
  const library: unknown = await import('@jax-js/jax')
  const jax = library as Jax
  await jax.init(backend)
  jax.defaultDevice(backend)
  return { ...(await checkedWork(jaxWork(jax, given!), given!)), description: `jax-js, ${backend}` }
}

const preparations: Readonly<Record<string, (what: string) => Promise<{ readonly run: Run } & Prepared>>> = {
  ours: prepareOurs,
  tfjs: prepareTfjs,
  jax: prepareJax,
}

/** What the page is asked for. */
export interface PageBench {
  /** @returns what it computes on, in words */
  open(options: WebRuntimeOptions): Promise<readonly string[]>
  /** @param what the case of ours, the backend of a peer */
  prepare(id: string, who: string, what: string): Promise<Prepared>
  /** @returns seconds of each run */
  run(id: string, count: number): Promise<readonly number[]>
  drop(id: string): void
}

const bench: PageBench = {
  open: async (options) => {
    const { runtime, said } = await openWebRuntime(options)
    ours = { runtime, description: `onnxruntime-web: ${said.join(' ')}` }
    return said
  },
  prepare: async (id, who, what) => {
    const { run, ...prepared } = await preparations[who](what)
    runs.set(id, run)
    return prepared
  },
  run: async (id, count) => {
    const seconds: number[] = []
    for (let i = 0; i < count; i++) {
      const begin = performance.now()
      await runs.get(id)!()
      seconds.push((performance.now() - begin) / 1000)
    }
    return seconds
  },
  drop: (id) => {
    runs.delete(id)
  },
}

Object.assign(globalThis, { bench })
