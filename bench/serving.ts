/** @file This program as a participant: our side of a case, or a peer that is written in TypeScript. */
import type { Precision } from '../src/engine/runtime/node/precision.ts'
import { writeSafetensors } from '../src/files/safetensors.ts'
import type { Case, Tensors } from './case.ts'
import { caseByName } from './cases.ts'
import { type Launch, type Served, serve } from './peer.ts'
import { serveJax } from './peers/jax.ts'
import { serveTfjs } from './peers/tfjs.ts'
import { ownLaunch } from './peers.ts'
import { describeRuntime, runtimeOn, type Target } from './target.ts'

/** Prepares one of our works and writes what peers need to a file. */
const prepareOurs =
  (own: Case, target: Target) =>
  async (path: string): Promise<Served> => {
    const runtime = runtimeOn(target)
    const work = await own.prepare(runtime, ({ params, inputs, expected, info }) => {
      const named = (kind: string, tensors: Tensors) =>
        Object.entries(tensors).map(([name, t]) => [`${kind}/${name}`, t] as const)
      const tensors = [...named('param', params), ...named('input', inputs), ...named('expected', expected)]
      writeSafetensors(path, Object.fromEntries(tensors), { case: JSON.stringify(info) })
    })
    return { ...work, errors: {}, description: describeRuntime(runtime, target) }
  }

/** How our side of a case is started. */
export const launchOurs = ({ name }: Case, { device, precision }: Target): Launch =>
  ownLaunch('ours', name, device, precision)

/** Serves as `launchOurs` and `ownLaunch` ask. @param asked what follows `--serve` */
export const serveAs = async (asked: readonly string[]): Promise<void> => {
  const [who, caseName, device, precision] = asked
  if (who === 'tfjs') return serve(serveTfjs)
  if (who === 'jax') return serve(serveJax)
  const target = { device: device as Target['device'], precision: precision as Precision }
  return serve(prepareOurs(caseByName(caseName), target))
}
