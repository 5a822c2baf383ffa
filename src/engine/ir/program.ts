/** @file A program: a traced function from named inputs to named outputs, its listing and its checker. */
import { type DType, type Shape, sameShape, showShape } from '../host/tensor.ts'
import { input, type Node, nodesOf, type Value, type ValueType } from './graph.ts'

/** A traced function. */
export interface Program {
  readonly name: string
  readonly inputs: Readonly<Record<string, Value>>
  readonly outputs: Readonly<Record<string, Value>>
}

/** Type of a program input. */
export interface InputSpec {
  readonly shape: Shape
  readonly dtype?: DType
}

/** Traces `body` into a program. Input names are the keys of `specs`. */
export const trace = <K extends string>(
  name: string,
  specs: Readonly<Record<K, InputSpec>>,
  body: (inputs: Readonly<Record<K, Value>>) => Readonly<Record<string, Value>>,
): Program => {
  const inputs = {} as Record<K, Value>
  for (const key in specs) inputs[key] = input(key, specs[key].shape, specs[key].dtype)
  const outputs = body(inputs)
  return { name, inputs, outputs }
}

const showType = (v: ValueType): string => `${v.dtype}${showShape(v.shape)}`

const showAttrs = (attrs: unknown): string => {
  if (attrs === null || attrs === undefined) return ''
  const text = JSON.stringify(attrs, (_, v) =>
    ArrayBuffer.isView(v) ? `${v.constructor.name}(${v.byteLength} bytes)` : v,
  )
  return ` ${text.length > 120 ? `${text.slice(0, 117)}…` : text}`
}

/** One line per node: outputs with types, op, inputs, attributes, model path. */
export const printProgram = (program: Program): string => {
  const names = new Map<Value, string>()
  const lines = [`program ${program.name}`]
  for (const v of Object.values(program.inputs)) {
    names.set(v, v.name)
    lines.push(`  input ${v.name}: ${showType(v)}`)
  }
  const nodes = nodesOf(Object.values(program.outputs))
  for (const [i, node] of nodes.entries()) {
    for (const v of node.outputs) names.set(v, node.outputs.length === 1 ? `%${i}` : `%${i}.${v.index}`)
    const outputs = node.outputs.map((v) => `${names.get(v)}: ${showType(v)}`).join(', ')
    const inputs = node.inputs.map((v) => names.get(v)).join(', ')
    const path = node.scope === '' ? '' : `  # ${node.scope}`
    lines.push(`  ${outputs} = ${node.op.name}(${inputs})${showAttrs(node.attrs)}${path}`)
  }
  for (const [name, v] of Object.entries(program.outputs)) lines.push(`  output ${name}: ${names.get(v)}`)
  return lines.join('\n')
}

const checkNode = (node: Node, known: ReadonlySet<Value>, program: string): void => {
  const place = `${node.op.name}${node.scope === '' ? '' : ` at ${node.scope}`}`
  for (const v of node.inputs) {
    if (!known.has(v)) {
      const what = v.node === null ? `input '${v.name}', which the program does not declare` : 'a later value'
      throw new Error(`program ${program}: ${place} reads ${what}; declare it or pass it in`)
    }
  }
  const types = node.op.infer(node.inputs, node.attrs)
  for (const [i, v] of node.outputs.entries()) {
    const t = types[i]
    if (t === undefined || t.dtype !== v.dtype || !sameShape(t.shape, v.shape)) {
      throw new Error(
        `program ${program}: ${place} output ${i} is ${showType(v)}, its rule says ${t && showType(t)}`,
      )
    }
    if (v.shape.some((d) => !Number.isInteger(d) || d < 0)) {
      throw new Error(`program ${program}: ${place} has the impossible shape ${showShape(v.shape)}`)
    }
  }
}

/**
 * Checks a program against the rules of the graph: every value comes from a declared input or an earlier node, every
 * type is what its op's rule says, sizes are non-negative integers, input names are unique.
 * @throws one sentence that names the program, the node and what is wrong.
 */
export const checkProgram = (program: Program): void => {
  const known = new Set<Value>()
  for (const [name, v] of Object.entries(program.inputs)) {
    if (v.node !== null || v.name !== name)
      throw new Error(`program ${program.name}: '${name}' is not an input value`)
    known.add(v)
  }
  for (const node of nodesOf(Object.values(program.outputs))) {
    checkNode(node, known, program.name)
    for (const v of node.outputs) known.add(v)
  }
  for (const [name, v] of Object.entries(program.outputs)) {
    if (!known.has(v)) throw new Error(`program ${program.name}: output '${name}' is not made by the program`)
  }
}
