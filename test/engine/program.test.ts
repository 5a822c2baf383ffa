/** @file The graph as data: order of nodes, listing, checker, and how gradients add up over it. */
import { describe, expect, it } from 'vitest'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { float32, type Shape } from '../../src/engine/host/tensor.ts'
import { input, type Node, nodesOf, scope, type Value } from '../../src/engine/ir/graph.ts'
import { checkProgram, printProgram, trace } from '../../src/engine/ir/program.ts'
import {
  add,
  clip,
  constant,
  exp,
  greater,
  log,
  maximum,
  minimum,
  mul,
  neg,
  reduceMax,
  reduceSum,
  reshape,
  square,
  stopGradient,
  sub,
  where,
} from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { concat, split } from '../../src/engine/ops/slice.ts'
import { evaluate } from './reference.ts'

/** A value in the reference, with inputs given as plain numbers. */
const numbersOf = (v: Value, feeds: readonly (readonly [Value, readonly number[]])[]): number[] => {
  const tensors = new Map(
    feeds.map(([key, data]) => [key, { shape: key.shape, data: Float64Array.from(data) }] as const),
  )
  return [...evaluate([v], tensors)[0].data]
}

/** A node built by hand, which the tracer would never make. */
const forge = (from: Value, changes: Partial<Node>, shape: Shape): Value => {
  const outputs: Value[] = []
  const node: Node = { ...from.node!, ...changes, outputs }
  outputs.push({ ...from, shape, node })
  return outputs[0]
}

describe('nodesOf', () => {
  it('lists what the values need, inputs before users, each node once', () => {
    const x = input('x', [2])
    const a = neg(x)
    const unused = exp(a)
    const b = square(a)
    const c = mul(b, a)
    const d = add(c, b)
    // Asked for out of order and twice.
    expect(nodesOf([d, a, d, c])).toEqual([a, b, c, d].map((v) => v.node))
    expect(nodesOf([d])).not.toContain(unused.node)
    expect(nodesOf([x])).toEqual([])
  })

  it('survives graphs deeper than the call stack', () => {
    let v = input('x', [])
    for (let i = 0; i < 50_000; i++) v = neg(v)
    expect(nodesOf([v])).toHaveLength(50_000)
  })
})

describe('printProgram', () => {
  it('prints one line per input, node and output, with types, attributes and model path', () => {
    const program = trace('demo', { x: { shape: [2, 4] }, w: { shape: [4, 4] } }, ({ x, w }) => {
      const y = scope('encoder', () => scope(0, () => matmul(x, w, { transB: true, alpha: 0.5 })))
      const [left, right] = split(y, 1, [1, 3])
      return { product: scope('head', () => mul(left, right)), mask: greater(y, x) }
    })
    expect(printProgram(program).split('\n')).toEqual([
      'program demo',
      '  input x: float32[2,4]',
      '  input w: float32[4,4]',
      '  %0: float32[2,4] = matmul(x, w) {"transA":false,"transB":true,"alpha":0.5}  # encoder/0',
      '  %1.0: float32[2,1], %1.1: float32[2,3] = split(%0) {"axis":1,"sizes":[1,3]}',
      '  %2: float32[2,3] = mul(%1.0, %1.1)  # head',
      '  %3: bool[2,4] = greater(%0, x)',
      '  output product: %2',
      '  output mask: %3',
    ])
  })

  it('prints the size of a constant, not its contents', () => {
    const program = trace('c', {}, () => ({ y: constant(float32([1000], new Float32Array(1000))) }))
    expect(printProgram(program).split('\n')[1]).toBe(
      '  %0: float32[1000] = constant() {"dtype":"float32","shape":[1000],"data":"Float32Array(4000 bytes)"}',
    )
  })

  it('shows the model path of gradients', () => {
    const program = trace('g', { x: { shape: [2] } }, ({ x }) => {
      const y = scope('decoder', () => exp(x))
      return { dx: gradient(reduceSum(y), [x])[0] }
    })
    expect(printProgram(program)).toMatch(/= mul\(%\d, %\d\) {2}# d decoder$/m)
  })
})

describe('checkProgram', () => {
  const x = input('x', [2])

  it('accepts what trace makes, unused inputs included', () => {
    const program = trace('good', { a: { shape: [2] }, b: { shape: [1], dtype: 'int32' } }, ({ a }) => ({
      y: add(a, 1),
      same: a,
    }))
    expect(() => checkProgram(program)).not.toThrow()
  })

  it('rejects an input that is not declared', () => {
    const y = scope('encoder', () => mul(x, input('weight', [2])))
    expect(() => checkProgram({ name: 'p', inputs: { x }, outputs: { y } })).toThrow(
      "program p: mul at encoder reads input 'weight', which the program does not declare; declare it or pass it in",
    )
  })

  it('rejects the input of another program under the same name: values are compared by identity', () => {
    const other = trace('other', { x: { shape: [2] } }, (inputs) => ({ y: exp(inputs.x) }))
    expect(() => checkProgram({ name: 'p', inputs: { x }, outputs: other.outputs })).toThrow(
      "program p: exp reads input 'x', which the program does not declare",
    )
    expect(() => checkProgram({ name: 'p', inputs: { x }, outputs: { y: other.inputs.x } })).toThrow(
      "program p: output 'y' is not made by the program",
    )
  })

  it('rejects one value declared twice and a computed value declared as input', () => {
    expect(() => checkProgram({ name: 'p', inputs: { x, z: x }, outputs: {} })).toThrow(
      "program p: 'z' is not an input value",
    )
    expect(() => checkProgram({ name: 'p', inputs: { x: exp(x) }, outputs: {} })).toThrow(
      "program p: 'x' is not an input value",
    )
  })

  it('rejects an output whose type is not what the rule of its op says', () => {
    const y = forge(
      scope('head', () => exp(x)),
      {},
      [3],
    )
    expect(() => checkProgram({ name: 'p', inputs: { x }, outputs: { y } })).toThrow(
      'program p: exp at head output 0 is float32[3], its rule says float32[2]',
    )
  })

  it('rejects a node that reads a later one', () => {
    const early = exp(x)
    const y = forge(early, { inputs: [neg(x)] }, [2])
    expect(() => checkProgram({ name: 'p', inputs: { x }, outputs: { y } })).toThrow(
      'program p: exp reads a later value',
    )
  })

  it('rejects impossible sizes', () => {
    const y = reshape(input('z', [6]), [-2, -3])
    expect(() => checkProgram({ name: 'p', inputs: { z: y.node!.inputs[0] }, outputs: { y } })).toThrow(
      'program p: reshape has the impossible shape [-2,-3]',
    )
  })
})

describe('gradient', () => {
  const x = input('x', [3])
  const y = input('y', [3])
  const xs = [x, [1, -2, 3]] as const
  const ys = [y, [5, 7, -11]] as const

  it('adds up over shared uses: d sum(x·x + x·x) = 4x', () => {
    const [dx] = gradient(reduceSum(add(mul(x, x), mul(x, x))), [x])
    expect(numbersOf(dx, [xs])).toEqual([4, -8, 12])
  })

  it('adds up where one value is used at several depths: d sum((x² + x)·x) = 3x² + 2x', () => {
    const [dx] = gradient(reduceSum(mul(add(square(x), x), x)), [x])
    expect(numbersOf(dx, [xs])).toEqual([5, 8, 33])
  })

  it('grows linearly with a chain of doublings, not with the number of paths', () => {
    let v = reduceSum(x)
    for (let i = 0; i < 40; i++) v = add(v, v)
    const [dx] = gradient(v, [x])
    expect(numbersOf(dx, [xs])).toEqual([2 ** 40, 2 ** 40, 2 ** 40])
    expect(nodesOf([dx]).length).toBeLessThan(200)
  })

  it('keeps the order of wrt and gives zeros of the right shape to what the loss does not use', () => {
    const unused = input('unused', [2, 5])
    const [dUnused, dy, dx] = gradient(reduceSum(mul(x, y)), [unused, y, x])
    expect(dUnused.shape).toEqual([2, 5])
    expect(numbersOf(dUnused, [xs, ys])).toEqual(new Array(10).fill(0))
    expect(numbersOf(dy, [xs, ys])).toEqual([1, -2, 3])
    expect(numbersOf(dx, [xs, ys])).toEqual([5, 7, -11])
  })

  it('takes the gradient with respect to an intermediate value and to what it was made from', () => {
    const middle = mul(x, y)
    const [dMiddle, dx] = gradient(reduceSum(square(middle)), [middle, x])
    expect(numbersOf(dMiddle, [xs, ys])).toEqual([10, -28, -66])
    expect(numbersOf(dx, [xs, ys])).toEqual([50, -196, 726])
  })

  it('is 1 for the loss itself', () => {
    const loss = reduceSum(x)
    expect(numbersOf(gradient(loss, [loss])[0], [xs])).toEqual([1])
  })

  it('sums over the axes of broadcasting', () => {
    const scale = input('scale', [])
    const column = input('column', [2, 1])
    const [dScale, dColumn] = gradient(reduceSum(mul(mul(x, column), scale)), [scale, column])
    const feeds = [xs, [scale, [10]], [column, [2, 3]]] as const
    expect(dScale.shape).toEqual([])
    expect(numbersOf(dScale, feeds)).toEqual([10])
    expect(dColumn.shape).toEqual([2, 1])
    expect(numbersOf(dColumn, feeds)).toEqual([20, 20])
  })

  it('fills in zeros for parts of a split that do not reach the loss', () => {
    const [, middle] = split(x, 0, [1, 1, 1])
    expect(numbersOf(gradient(reduceSum(square(middle)), [x])[0], [xs])).toEqual([0, -4, 0])
    const [first, ...rest] = split(x, 0, [1, 2])
    const swapped = concat([...rest, first], 0)
    expect(numbersOf(gradient(reduceSum(mul(swapped, y)), [x])[0], [xs, ys])).toEqual([-11, 5, 7])
  })

  it('follows the documented rule on ties: b of a maximum, a of a minimum, every tied element of a reduction, clip at its bounds', () => {
    const ties = [x, [1, 2, 2]] as const
    const other = [y, [1, 5, 0]] as const
    const [dx, dy] = gradient(reduceSum(maximum(x, y)), [x, y])
    expect(numbersOf(dx, [ties, other])).toEqual([0, 0, 1])
    expect(numbersOf(dy, [ties, other])).toEqual([1, 1, 0])
    const [ex, ey] = gradient(reduceSum(minimum(x, y)), [x, y])
    expect(numbersOf(ex, [ties, other])).toEqual([1, 1, 0])
    expect(numbersOf(ey, [ties, other])).toEqual([0, 0, 1])
    expect(numbersOf(gradient(reduceMax(x), [x])[0], [ties])).toEqual([0, 1, 1])
    expect(numbersOf(gradient(reduceSum(clip(x, 1, 1.5)), [x])[0], [ties])).toEqual([1, 0, 0])
  })

  it('applied three times gives the third derivative: x⁴ → 24x', () => {
    let v = reduceSum(square(square(x)))
    for (let i = 0; i < 3; i++) v = reduceSum(gradient(v, [x])[0])
    expect(numbersOf(v, [xs])).toEqual([24 * (1 - 2 + 3)])
  })

  it('does not visit nodes that do not depend on wrt', () => {
    // The comparison has no gradient; it may not be asked for one.
    const [dx] = gradient(reduceSum(where(greater(y, 0), x, sub(0, x))), [x])
    expect(numbersOf(dx, [xs, ys])).toEqual([1, 1, -1])
    const through = reduceSum(mul(x, stopGradient(log(y))))
    expect(nodesOf(gradient(through, [x])).map((n) => n.op.name)).not.toContain('div')
  })

  it('refuses a loss that is not a float32 scalar', () => {
    expect(() => gradient(x, [x])).toThrow(
      'gradient: the loss is float32[3]; reduce it to a float32 scalar first',
    )
    const flag = greater(reduceSum(x), 0)
    expect(() => gradient(flag, [x])).toThrow(
      'gradient: the loss is bool[]; reduce it to a float32 scalar first',
    )
  })

  it('names an op on the way that has no gradient, with its place', () => {
    const named: Node['op'] = { name: 'opaque', infer: ([v]) => [v], emit: (_, names) => names, samples: [] }
    const y2 = scope('decoder', () => exp(x))
    const opaque = forge(y2, { op: named, scope: 'decoder/last' }, [3])
    expect(() => gradient(reduceSum(opaque), [x])).toThrow(
      'gradient: op opaque at decoder/last has none; wrap its input in stopGradient',
    )
  })
})
