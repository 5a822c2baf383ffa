/** @file A case as peers in JavaScript read it, and how their values are compared with ours. */
import type { HostTensor } from '../../src/engine/host/tensor.ts'

type Tensors = Readonly<Record<string, HostTensor>>

/** The parts of a case's file. */
export interface Given {
  readonly kind: string
  readonly headWidth: number
  readonly params: Tensors
  readonly inputs: Tensors
  readonly expected: Tensors
}

/** Sorts the tensors of a case's file. */
export const readGiven = ({
  tensors,
  metadata,
}: {
  readonly tensors: Tensors
  readonly metadata: Readonly<Record<string, string>>
}): Given => {
  const under = (kind: string): Tensors =>
    Object.fromEntries(
      Object.entries(tensors)
        .filter(([name]) => name.startsWith(`${kind}/`))
        .map(([name, tensor]) => [name.slice(kind.length + 1), tensor]),
    )
  const { kind, headWidth } = JSON.parse(metadata.case) as Pick<Given, 'kind' | 'headWidth'>
  return { kind, headWidth, params: under('param'), inputs: under('input'), expected: under('expected') }
}

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0))

/** ‖found − expected‖/‖expected‖ of every expected value. */
const relativeErrors = (found: Found, expected: Tensors): Record<string, number> =>
  Object.fromEntries(
    Object.entries(expected).map(([name, { data }]) => {
      const values = data as Float32Array
      return [name, norm(values.map((v, i) => v - found[name][i])) / norm(values)]
    }),
  )

/** Values by name. */
export type Found = Readonly<Record<string, Float32Array>>

/** A case in a peer's hands. */
export interface PeerWork {
  /** Does it once, until its values are there. */
  run(): Promise<Found>
  /** The values with their axes in the order of ours. */
  inOurOrder(found: Found): Found
}

/** A peer's work done once, and how far what it found is from ours. */
export const checkedWork = async (
  { run, inOurOrder }: PeerWork,
  { expected }: Given,
): Promise<{ readonly errors: Record<string, number>; readonly run: () => Promise<Found> }> => ({
  errors: relativeErrors(inOurOrder(await run()), expected),
  run,
})
