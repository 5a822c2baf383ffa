/** @file What every executable checks before a run: inputs that are missing or of another type. */
import { type HostTensor, sameShape, showShape } from '../../host/tensor.ts'
import type { ValueType } from '../../ir/graph.ts'
import type { Program } from '../../ir/program.ts'
import type { OnnxModel } from '../../onnx/serialize.ts'

/** Throws unless a tensor has the expected type. @param owner the program or state that takes it */
export const expectTensor = (tensor: HostTensor, expected: ValueType, name: string, owner: string): void => {
  if (tensor.dtype === expected.dtype && sameShape(tensor.shape, expected.shape)) return
  throw new Error(
    `${owner}: input '${name}' is ${tensor.dtype}${showShape(tensor.shape)}, ` +
      `expected ${expected.dtype}${showShape(expected.shape)}; feed that type`,
  )
}

/** The error for a tensor that a state does not hold. */
export const unknownName = (name: string, names: readonly string[]): Error =>
  new Error(
    `state: no tensor is called '${name}'; it holds ${names.slice(0, 6).join(', ')}${names.length > 6 ? ', …' : ''}`,
  )

/**
 * What a run takes of its feeds: what the model reads.
 * @throws when an input is neither fed nor held, or of another type
 */
export const usedFeeds = (
  program: Program,
  model: OnnxModel,
  feeds: Readonly<Record<string, HostTensor>>,
  held: (name: string) => unknown,
): Record<string, HostTensor> => {
  const used: Record<string, HostTensor> = {}
  for (const [name, v] of Object.entries(program.inputs)) {
    if (model.unused.has(name)) continue
    const fed = feeds[name]
    if (fed !== undefined) {
      expectTensor(fed, v, name, `program ${program.name}`)
      used[name] = fed
    } else if (held(name) === undefined) {
      throw new Error(`program ${program.name}: input '${name}' is missing; feed it or hold it in the state`)
    }
  }
  return used
}

/** The model's inputs by name, each from where it is. @param find what is fed, else what is held */
export const gatherInputs = <T>(
  program: Program,
  model: OnnxModel,
  find: (name: string) => T | undefined,
): Map<string, T> =>
  new Map(
    Object.keys(program.inputs)
      .filter((name) => !model.unused.has(name))
      .map((name) => [name, find(name)!]),
  )

/** Throws unless every tensor that a run updates is held. */
export const expectHeld = (
  program: Program,
  updates: Readonly<Record<string, string>>,
  held: (name: string) => unknown,
): void => {
  const missing = Object.keys(updates).find((name) => held(name) === undefined)
  if (missing === undefined) return
  throw new Error(
    `program ${program.name}: the run updates '${missing}', which no state holds; pass the state that does`,
  )
}
