/** @file TensorFlow.js on its WebAssembly backend. */
import { readSafetensors } from '../../src/files/safetensors.ts'
import type { Served } from '../peer.ts'
import { requirePeer } from '../peers.ts'
import { checkedWork, readGiven } from './given.ts'
import { type TensorFlow, tfjsWork } from './tfjsBlocks.ts'

/** Loads a case and does it once. */
export const serveTfjs = async (path: string): Promise<Served> => {
  const tf = requirePeer('@tensorflow/tfjs') as TensorFlow
  requirePeer('@tensorflow/tfjs-backend-wasm')
  await tf.setBackend('wasm')
  const given = readGiven(readSafetensors(path))
  const description = `TensorFlow.js ${tf.version_core}, wasm, 1 thread`
  return { description, ...(await checkedWork(tfjsWork(tf, given), given)) }
}
