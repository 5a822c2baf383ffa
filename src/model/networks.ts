/** @file The weights of a model by the networks that they belong to. */
import type { Weights } from '../train/frozen.ts'

/** The network of a parameter: the first part of its path. */
export const networkOf = (path: string): string => path.split('.')[0]

/** The weights of one network among those of several. */
export const networkWeights = (weights: Weights, network: string): Weights =>
  Object.fromEntries(Object.entries(weights).filter(([path]) => networkOf(path) === network))

/** The error for a network that an exported model lacks. */
export const exportedWithout = (where: string, network: string): Error =>
  new Error(`${where}: it was exported without its ${network}; train that, and export the run again`)
