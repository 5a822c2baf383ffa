/** @file How products are computed, and which device can. */
import type { Compute } from '../../ir/graph.ts'
import type { Device } from '../runtime.ts'

/**
 * How matrix products and convolutions are computed. `float16` halves what they read and write; parameters, moments,
 * everything between products and all losses stay float32. `tf32` stores float32, too, and rounds what products read
 * to 11 significant bits, which NVIDIA's tensor cores take at several times the rate.
 */
export type Precision = Compute | 'tf32'

export const precisions: readonly Precision[] = ['float32', 'tf32', 'float16']

/** Why a device cannot compute so, as a sentence in parts: what it does instead, and where to go; null when it can. */
export const precisionRefusal = (
  device: Device,
  compute: Precision,
): { readonly reason: string; readonly instead: string } | null => {
  if (compute === 'tf32' && device !== 'cuda')
    return { reason: "TF32 is arithmetic of NVIDIA's tensor cores", instead: '--device cuda' }
  if (compute === 'float16' && device === 'cpu')
    return { reason: 'the CPU multiplies in float32 only', instead: '--device webgpu or cuda' }
  return null
}

/** The element type that products are emitted in. */
export const emittedCompute = (compute: Precision): Compute => (compute === 'tf32' ? 'float32' : compute)
