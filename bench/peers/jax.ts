/** @file jax-js on its WebAssembly backend. */
import { readSafetensors } from '../../src/files/safetensors.ts'
import type { Served } from '../peer.ts'
import { requirePeer } from '../peers.ts'
import { checkedWork, readGiven } from './given.ts'
import { type Jax, jaxWork } from './jaxBlocks.ts'

/** Loads a case and does it once. */
export const serveJax = async (path: string): Promise<Served> => {
  const jax = requirePeer('@jax-js/jax') as Jax
  await jax.init('wasm')
  jax.defaultDevice('wasm')
  const given = readGiven(readSafetensors(path))
  return { description: 'jax-js, wasm, 1 thread', ...(await checkedWork(jaxWork(jax, given), given)) }
}
