/** @file The matrix product that rates are compared with. */
import { trace } from '../src/engine/ir/program.ts'
import { matmul } from '../src/engine/ops/matmul.ts'
import { slice } from '../src/engine/ops/slice.ts'
import { type Case, gflopsOf, normal, type Tensors } from './case.ts'

const sideOnCpu = 1024

/** On the CPU, where factors and product lie in the memory of who asks. */
export const matmulCase: Case = {
  name: 'matmul',
  title: `${sideOnCpu}³ matrix product`,
  prepare: async (runtime, handOver) => {
    const shape = [sideOnCpu, sideOnCpu]
    const inputs = { a: normal(shape, 'a'), b: normal(shape, 'b') }
    const program = trace('matmul', inputs, ({ a, b }) => ({ output: matmul(a, b) }))
    const executable = await runtime.compile(program)
    const run = (): Promise<Tensors> => executable.run(inputs)
    handOver({ params: {}, inputs, expected: await run(), info: { kind: 'matmul' } })
    return { gflops: gflopsOf(program.outputs), run }
  },
}

/** On a device, where factors and product stay; one number comes back, so that each run is waited for. */
export const productCase = (side: number): Case => ({
  name: `product/${side}`,
  title: `${side}³ matrix product`,
  prepare: async (runtime, handOver) => {
    const shape = [side, side]
    const inputs = { a: normal(shape, 'a'), b: normal(shape, 'b') }
    const program = trace('product', { ...inputs, y: { shape } }, ({ a, b }) => {
      const output = matmul(a, b)
      return { output, corner: slice(slice(output, 0, 0, 1), 1, 0, 1) }
    })
    const executable = await runtime.compile(program, { updates: { y: 'output' } })
    // What held y is given to the runtime.
    const state = await runtime.place({ ...inputs, y: normal(shape, 'y') })
    const run = (): Promise<Tensors> => executable.run({}, state)
    await run()
    const { y } = await state.read(['y'])
    handOver({ params: {}, inputs, expected: { output: y }, info: { kind: 'matmul' } })
    return { gflops: gflopsOf(program.outputs), run }
  },
})
