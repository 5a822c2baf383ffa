/** @file Which state tensors may be updated where they lie, whatever order and fusions the library chooses. */
import { sameShape, showShape, sizeOf } from '../host/tensor.ts'
import { type Node, nodesOf, type Value } from '../ir/graph.ts'
import type { Program } from '../ir/program.ts'

/** What the library may do with a program's values, as far as in-place updates care. */
interface Readers {
  /** The nodes that read a value. */
  of(v: Value): readonly Node[]
  /** Whether one kernel may take in both the maker of a value and its reader: no output, and no second reader. */
  fusible(v: Value): boolean
  readonly outputs: ReadonlySet<Value>
}

/**
 * A number for each node that equal computations share: the library merges those, which can leave a value with one
 * reader. Attributes are not compared, so that too much counts as equal rather than too little.
 */
const numberNodes = (nodes: readonly Node[]): ReadonlyMap<Node, number> => {
  const numbers = new Map<Node, number>()
  const known = new Map<string, number>()
  for (const node of nodes) {
    const inputs = node.inputs.map((v) => (v.node === null ? v.id : `${numbers.get(v.node)}.${v.index}`))
    const key = `${node.op.name}(${inputs.join()})`
    const number = known.get(key) ?? node.id
    known.set(key, number)
    numbers.set(node, number)
  }
  return numbers
}

const readersIn = (program: Program): Readers => {
  const outputs = new Set(Object.values(program.outputs))
  const nodes = nodesOf(outputs)
  const numbers = numberNodes(nodes)
  const byValue = new Map<Value, Node[]>()
  for (const node of nodes) {
    for (const v of new Set(node.inputs)) {
      const known = byValue.get(v)
      if (known === undefined) byValue.set(v, [node])
      else known.push(node)
    }
  }
  const of = (v: Value): readonly Node[] => byValue.get(v) ?? []
  const fusible = (v: Value): boolean =>
    !outputs.has(v) && new Set(of(v).map((node) => numbers.get(node))).size <= 1
  return { of, fusible, outputs }
}

/**
 * The values whose readers may in truth read the memory of `current`: what ops that move elements make of it, and
 * arithmetic on all its elements, which the library drops when it adds 0 or multiplies by 1. Nothing that `maker`
 * makes counts: who reads that wants the next value.
 */
const sharersOf = (current: Value, maker: Node, readers: Readers): ReadonlySet<Value> => {
  const sharers = new Set([current])
  for (const v of sharers) {
    for (const node of readers.of(v)) {
      if (node === maker) continue
      for (const y of node.outputs) {
        const dropped = node.op.elementwise === true && sizeOf(y.shape) === sizeOf(v.shape)
        if (node.op.alias !== undefined || dropped) sharers.add(y)
      }
    }
  }
  return sharers
}

/** `maker` and all that the library may compute in one kernel with it. */
const fusedWith = (maker: Node, readers: Readers): ReadonlySet<Node> => {
  const group = new Set([maker])
  for (const node of group) {
    for (const v of node.inputs) {
      if (v.node !== null && v.node.inputs.length > 0 && readers.fusible(v)) group.add(v.node)
    }
  }
  return group
}

/** Whether a kernel that reads a value element by element finds each where the next value's element goes. */
const liesAs = (v: Value, next: Value): boolean =>
  v.dtype === next.dtype && sameShape(v.shape, next.shape) && v.node?.op.alias !== 'maybe'

/**
 * Whether `next` may be written over `current` while the program runs, under any order of execution that respects data
 * dependencies, and with any fusion that the library knows:
 * - `next` is made by element-wise arithmetic, and so is all that may be fused with it: such a kernel has read an
 *   element before it writes over it;
 * - everything else that reads `current`, or what may share its memory, comes before `next`;
 * - nothing of that is an output of its own, which would be copied out at any time.
 */
const mayOverwrite = (current: Value, next: Value, readers: Readers): boolean => {
  const maker = next.node
  if (maker === null) return false
  const group = fusedWith(maker, readers)
  if (![...group].every((node) => node.op.elementwise === true)) return false
  const before = new Set(nodesOf([next]))
  return [...sharersOf(current, maker, readers)].every(
    (v) =>
      !readers.outputs.has(v) &&
      readers.of(v).every((n) => before.has(n) && (!group.has(n) || liesAs(v, next))),
  )
}

/** The state tensors of `updates` whose next value may be written over the current one. */
export const updatedInPlace = (
  program: Program,
  updates: Readonly<Record<string, string>>,
): ReadonlySet<string> => {
  const readers = readersIn(program)
  const names = Object.entries(updates).filter(([name, output]) =>
    mayOverwrite(program.inputs[name], program.outputs[output], readers),
  )
  return new Set(names.map(([name]) => name))
}

/**
 * Throws unless every update replaces an input of the program by an output of the same type, and no output replaces
 * two.
 */
export const expectUpdates = (program: Program, updates: Readonly<Record<string, string>>): void => {
  const replaced = new Map<string, string>()
  for (const [name, output] of Object.entries(updates)) {
    const [current, next] = [program.inputs[name], program.outputs[output]]
    const where = `program ${program.name}: update of '${name}' by '${output}'`
    if (current === undefined) throw new Error(`${where}: the program has no input '${name}'; declare it`)
    if (next === undefined) throw new Error(`${where}: the program has no output '${output}'; return it`)
    if (current.dtype !== next.dtype || !sameShape(current.shape, next.shape)) {
      throw new Error(
        `${where}: the output is ${next.dtype}${showShape(next.shape)}, expected ` +
          `${current.dtype}${showShape(current.shape)} as the input; return that type`,
      )
    }
    const other = replaced.get(output)
    if (other !== undefined) {
      throw new Error(`${where}: '${other}' takes that output already; return the value under a second name`)
    }
    replaced.set(output, name)
  }
}
