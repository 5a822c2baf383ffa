/** @file The runtime contract in Node: on every kind of memory, and through ONNX Runtime's JavaScript API. Pages: test/browser. */
import * as ort from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { OrtRuntime } from '../../src/engine/runtime/ort/runtime.ts'
import type { Runtime } from '../../src/engine/runtime/runtime.ts'
import { contract } from './contract.ts'

const runtimes: Readonly<Record<string, Runtime>> = {
  "the host's memory": new NodeRuntime({ threads: 1 }),
  "memory of the runtime's own": new NodeRuntime({ threads: 1, ownMemory: true }),
  'the JavaScript API': new OrtRuntime(
    {
      ...{ ort, device: 'cpu', providers: ['cpu'], location: 'cpu', limits: null },
      ...{ startProfiling: null, advice: '' },
    },
    'any',
  ),
}

describe.each(Object.entries(runtimes))('a runtime on %s', (_, runtime) => {
  it.each(Object.entries(contract))('%s', async (_, { observe, expected }) => {
    expect(await observe(runtime)).toEqual(expected)
  })
})
