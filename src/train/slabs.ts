/**
 * @file Parameters packed into slabs: small tensors share one flat vector so that the optimiser is a few passes over
 * cache-sized vectors rather than thousands of tiny operators; a large tensor is a slab of its own.
 */
import { floats, type HostTensor, type Shape, sameShape, showType, sizeOf } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import { reshape } from '../engine/ops/core.ts'
import { concat, split } from '../engine/ops/slice.ts'

/** A named tensor inside a slab. */
export interface SlabEntry {
  readonly path: string
  readonly shape: Shape
}

/** One flat vector and what lies in it, in order. */
export interface Slab {
  readonly size: number
  readonly entries: readonly SlabEntry[]
}

/** Elements of a slab: 1 MiB of float32, so that a pass over it stays in the second-level cache. */
const slabElements = 2 ** 18

/** Packs tensors in order into slabs. @param standsAlone whether a tensor has a slab to itself whatever its size */
export const planSlabs = (
  entries: readonly SlabEntry[],
  standsAlone: (entry: SlabEntry) => boolean = () => false,
): Slab[] => {
  const slabs: { size: number; entries: SlabEntry[] }[] = []
  let open: (typeof slabs)[number] | undefined
  for (const entry of entries) {
    const n = sizeOf(entry.shape)
    const alone = standsAlone(entry)
    if (open !== undefined && !alone && open.size + n <= slabElements) {
      open.size += n
      open.entries.push(entry)
    } else {
      const slab = { size: n, entries: [entry] }
      slabs.push(slab)
      if (!alone) open = slab
    }
  }
  return slabs
}

/** The tensors of a slab value [size], by path. */
export const unpackSlab = (slab: Slab, value: Value): ReadonlyMap<string, Value> => {
  const parts = split(
    value,
    0,
    slab.entries.map(({ shape }) => sizeOf(shape)),
  )
  return new Map(slab.entries.map(({ path, shape }, i) => [path, reshape(parts[i], shape)]))
}

/** The slab value [size] of its tensors, by path. */
export const packSlab = (slab: Slab, tensors: ReadonlyMap<string, Value>): Value =>
  concat(
    slab.entries.map(({ path, shape }) => reshape(tensors.get(path)!, [sizeOf(shape)])),
    0,
  )

/**
 * Copies host tensors into the flat vector of a slab.
 * @param prefix what their names have before the path
 * @throws when a tensor is missing or has another type or shape.
 */
export const packHost = (
  slab: Slab,
  tensors: Readonly<Record<string, HostTensor | undefined>>,
  prefix = '',
): HostTensor => {
  const data = new Float32Array(slab.size)
  let offset = 0
  for (const { path, shape } of slab.entries) {
    const name = `${prefix}${path}`
    const tensor = tensors[name]
    if (tensor?.dtype !== 'float32' || !sameShape(tensor.shape, shape)) {
      const found = tensor === undefined ? 'nothing' : showType(tensor)
      throw new Error(
        `parameters: '${name}' should be ${showType({ dtype: 'float32', shape })}, found ${found}; was it saved with another configuration?`,
      )
    }
    data.set(floats(tensor), offset)
    offset += sizeOf(shape)
  }
  return { dtype: 'float32', shape: [slab.size], data }
}

/** Views of the tensors of a slab held on the host, by path. */
export const unpackHost = (slab: Slab, tensor: HostTensor): Record<string, HostTensor> => {
  const data = tensor.data as Float32Array
  const views: Record<string, HostTensor> = {}
  let offset = 0
  for (const { path, shape } of slab.entries) {
    views[path] = { dtype: 'float32', shape, data: data.subarray(offset, offset + sizeOf(shape)) }
    offset += sizeOf(shape)
  }
  return views
}
