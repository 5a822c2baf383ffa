/**
 * @file Parameters as plain trees: a layer describes its parameters as a tree of specs, and applies itself to the
 * same tree filled with values. The path in the tree names the checkpoint entry.
 */
import { fillNormal, streamKey } from '../host/random.ts'
import { type HostTensor, type Shape, sameShape, showType, zeros } from '../host/tensor.ts'
import type { Value } from '../ir/graph.ts'

/** Shape of a parameter and the standard deviation of its normal initialisation (0 for zeros). */
export interface ParamSpec {
  readonly kind: 'param'
  readonly shape: Shape
  readonly std: number
}

/** A tree of parameter specs. */
export type Spec = ParamSpec | readonly Spec[] | { readonly [key: string]: Spec }

/** The tree of a spec with values in place of the leaves. */
export type Params<S> = S extends ParamSpec
  ? Value
  : S extends readonly (infer E)[]
    ? readonly Params<E>[]
    : { readonly [K in keyof S]: Params<S[K]> }

/** A normally initialised parameter; `std` 0 makes it start at zero. */
export const param = (shape: Shape, std: number): ParamSpec => ({ kind: 'param', shape, std })

const isParam = (spec: Spec): spec is ParamSpec => 'kind' in spec && spec.kind === 'param'

/** The parameters of a tree with their paths, in declaration order. */
export const flattenSpec = (spec: Spec, path = ''): { readonly path: string; readonly spec: ParamSpec }[] =>
  isParam(spec)
    ? [{ path, spec }]
    : Object.entries(spec).flatMap(([key, child]) => flattenSpec(child, path === '' ? key : `${path}.${key}`))

/** The value of a parameter. @throws when it has another type or shape: what a run holds may be of another configuration */
const fitting = (value: Value, { shape }: ParamSpec, path: string): Value => {
  if (value.dtype === 'float32' && sameShape(value.shape, shape)) return value
  throw new Error(
    `parameters: '${path}' should be ${showType({ dtype: 'float32', shape })}, found ${showType(value)}; was it saved with another configuration?`,
  )
}

/** Builds the tree of values by asking for each path. @throws when one does not fit its spec */
export const bindParams = <S extends Spec>(
  spec: S,
  lookUp: (path: string) => Value,
  path = '',
): Params<S> => {
  const below = (key: string): string => (path === '' ? key : `${path}.${key}`)
  // The three shapes of a tree cannot be told apart by the type checker while S is generic.
  const bind = (): unknown => {
    if (isParam(spec)) return fitting(lookUp(path), spec, path)
    if (Array.isArray(spec)) return spec.map((child: Spec, i) => bindParams(child, lookUp, below(String(i))))
    return Object.fromEntries(
      Object.entries(spec).map(([key, child]) => [key, bindParams(child as Spec, lookUp, below(key))]),
    )
  }
  return bind() as Params<S>
}

/** Draws the initial values of a parameter, which lie at zero; they depend on the seed and the path alone. */
export const drawParam = (data: Float32Array, { std }: ParamSpec, path: string, seed: number): void => {
  if (std === 0) return
  fillNormal(data, streamKey(seed, 'init', path))
  for (let i = 0; i < data.length; i++) data[i] *= std
}

/** Initial values of all parameters of a tree; each depends on the seed and its own path alone. */
export const initialParams = (spec: Spec, seed: number): Record<string, HostTensor> =>
  Object.fromEntries(
    flattenSpec(spec).map(({ path, spec: own }) => {
      const tensor = zeros(own.shape)
      drawParam(tensor.data as Float32Array, own, path, seed)
      return [path, tensor]
    }),
  )
