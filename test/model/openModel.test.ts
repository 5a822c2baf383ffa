/** @file A model from its files by name: what openRun makes of the directory, read in the order that spares a fetch in vain. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { presetByName } from '../../src/config/load.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { DeviceLimits, Runtime } from '../../src/engine/runtime/runtime.ts'
import { decodeWeights, encodeWeights, halvedWeights } from '../../src/model/exportedWeights.ts'
import { runFiles } from '../../src/model/files.ts'
import { expectModelFits } from '../../src/model/fits.ts'
import { networkOf } from '../../src/model/networks.ts'
import { openModel, type ReadFile } from '../../src/model/openModel.ts'
import { checksumsOf } from '../../src/stored/checksums.ts'
import { sourceOf } from '../../src/stored/safetensors.ts'
import { openRun } from '../../src/use/openRun.ts'

const dir = fileURLToPath(new URL('../../pretrained/emoji64', import.meta.url))
const runtime = new NodeRuntime({ threads: 1 })

const bytesOf = (name: string): Uint8Array => readFileSync(join(dir, name))

/** Files of emoji64, some of them others, with the names that were asked for. */
const reader = (
  others: Readonly<Record<string, Uint8Array | null>> = {},
): { readonly read: ReadFile; readonly asked: string[] } => {
  const asked: string[] = []
  const read: ReadFile = async (name) => {
    asked.push(name)
    return name in others ? others[name] : existsSync(join(dir, name)) ? bytesOf(name) : null
  }
  return { read, asked }
}

const joined = (pieces: readonly Uint8Array[]): Uint8Array => Buffer.concat(pieces)

/** The weights of emoji64 without some of them, exported anew. */
const exportedWhere = (keeps: (path: string) => boolean): Uint8Array => {
  const weights = decodeWeights('w', sourceOf(bytesOf(runFiles.weights)), keeps)
  return joined(encodeWeights('w', halvedWeights('w', weights)))
}

const limits: DeviceLimits = { adapter: 'Card', tensorBytes: 2 ** 18, isSoftware: false, float16: false }
const onCard: Runtime = {
  ...{ device: 'webgpu', limits },
  compile: (program) => runtime.compile(program),
  place: (tensors) => runtime.place(tensors),
}

describe('openModel', () => {
  it('gives what openRun gives of the same files', async () => {
    const { read, asked } = reader()
    const [model, run] = [await openModel(runtime, read), openRun(dir, runtime)]
    expect(asked).toEqual([runFiles.config, runFiles.info, runFiles.weights])
    const { config, info, hasBase, generates } = model
    expect({ config, info, hasBase, generates, model: model.model }).toEqual({
      ...{ config: run.config, info: run.info, hasBase: true, generates: true, model: run.model },
    })
    expect(checksumsOf({ ...model.autoencoder(), ...model.base() })).toEqual(
      checksumsOf({ ...run.autoencoder(), ...run.base() }),
    )
  })

  it('has no base model where none was exported, and says so only when it is asked for', async () => {
    const stage1 = exportedWhere((path) => networkOf(path) !== 'base')
    const model = await openModel(runtime, reader({ [runFiles.weights]: stage1 }).read)
    expect([model.hasBase, model.generates]).toEqual([false, false])
    expect(() => model.generator(1)).toThrow(
      'weights.safetensors: it was exported without its base; train that, and export the run again',
    )
  })

  it.each([runFiles.config, runFiles.info, runFiles.weights])(
    'names %s where it is missing',
    async (name) => {
      await expect(openModel(runtime, reader({ [name]: null }).read)).rejects.toThrow(
        `${name}: there is no such file, so this is not a model; give what 'ul export' wrote (config.yaml, run.json, weights.safetensors)`,
      )
    },
  )

  it('refuses files that are damaged, cut short or of another kind, each by its name', async () => {
    const refused = (name: string, bytes: Uint8Array): Promise<string> =>
      openModel(runtime, reader({ [name]: bytes }).read).then(
        () => 'opened',
        (error: Error) => error.message,
      )
    const weights = bytesOf(runFiles.weights)
    const changed = weights.slice()
    changed[changed.length - 100] ^= 1
    expect(await refused(runFiles.weights, changed)).toMatch(
      /^weights\.safetensors: tensor "[\w.]+" is not what was saved \(its checksum differs\); the file is damaged$/,
    )
    expect(await refused(runFiles.weights, weights.subarray(0, weights.length - 1))).toMatch(
      /^weights\.safetensors: tensor .* after the end of the file$/,
    )
    expect(await refused(runFiles.weights, Buffer.from('<!doctype html>'))).toMatch(
      /^weights\.safetensors: this is not a safetensors file/,
    )
    expect(
      await refused(
        runFiles.weights,
        exportedWhere((path) => networkOf(path) !== 'decoder'),
      ),
    ).toBe('weights.safetensors: it was exported without its decoder; train that, and export the run again')
    expect(await refused(runFiles.info, Buffer.from('{}'))).toMatch(/^run\.json: 'version': /)
    expect(await refused(runFiles.config, Buffer.from('<!doctype html>\n'))).toMatch(
      /^config\.yaml: expected a mapping/,
    )
  })

  it('asks for no weights that the device does not take', async () => {
    const { read, asked } = reader()
    await expect(openModel(onCard, read)).rejects.toThrow(
      /^program encode: its largest tensor, .*, takes [\d.]+ MiB, but the adapter 'Card' takes 0\.25\d* MiB at most; /,
    )
    expect(asked).toEqual([runFiles.config, runFiles.info])
  })
})

describe('expectModelFits', () => {
  const emoji = presetByName('emoji64')
  const fits = (tensorBytes: number, B: number, config = emoji): boolean => {
    try {
      expectModelFits({ ...limits, tensorBytes }, config, 9, B)
      return true
    } catch {
      return false
    }
  }

  it('knows the largest tensor of what is used: here a weight of the base model, with many images an activation', () => {
    const { widths } = emoji.base
    const hidden = 4 * 4 * Math.max(...widths) ** 2 // float32 [4·width, width]
    expect(fits(hidden, 1)).toBe(true)
    expect(fits(hidden - 1, 1)).toBe(false)
    expect(fits(hidden, 64)).toBe(false)
    // The prior in the base model's place is narrower.
    const byPrior = { ...emoji, sampler: { ...emoji.sampler, generator: 'prior' as const } }
    expect(fits(hidden - 1, 1, byPrior)).toBe(true)
  })

  it('refuses nothing where memory alone is the limit', () => {
    expect(() => expectModelFits(null, presetByName('imagenet512'), 1000, 64)).not.toThrow()
  })

  it('of the largest preset takes no memory for its weights', () => {
    expect(() => expectModelFits(limits, presetByName('imagenet512'), 1000, 1)).toThrow(/takes \d+ MiB, but/)
  })
})
