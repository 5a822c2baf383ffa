/** @file All cases: which networks, and in which order they are measured. */
import { presetByName } from '../src/config/load.ts'
import { smokeForm } from '../src/config/presets.ts'
import type { Config } from '../src/config/schema.ts'
import type { Device } from '../src/engine/runtime/runtime.ts'
import { stages } from '../src/stages/list.ts'
import { attentionBlock, blockCase, residualBlock } from './blocks.ts'
import type { Case } from './case.ts'
import { codecCase } from './codec.ts'
import { matmulCase, productCase } from './product.ts'
import { trainingCase } from './training.ts'

/** Small networks on images of 32 pixels. */
const narrow32 = (): Config => {
  const preset = presetByName('study')
  return {
    ...preset,
    name: 'narrow32',
    encoder: { ...preset.encoder, channels: [64, 128] },
    prior: { width: 128, blocks: 4, headWidth: 32 },
    decoder: { ...preset.decoder, channels: [32], width: 256, blocks: 3, headWidth: 64 },
    base: { ...preset.base, widths: [128, 256], blocks: [2, 4] },
  }
}

/** Between emoji64 and the paper: images of 128 pixels, transformers 512 and 1024 wide. */
const wide128 = (): Config => {
  const preset = presetByName('emoji64')
  return {
    ...preset,
    name: 'wide128',
    data: { ...preset.data, size: 128 },
    latent: { ...preset.latent, downsample: 8 },
    encoder: { ...preset.encoder, channels: [64, 128, 256] },
    decoder: { ...preset.decoder, channels: [64, 128, 256], width: 512 },
    base: { ...preset.base, widths: [512, 1024] },
    train: { ...preset.train, batch: 4, stage2: { ...preset.train.stage2, batch: 8 } },
  }
}

/** As small as networks get, for devices that are too slow for any other: software adapters. */
const tiny = (): Config => {
  const small = smokeForm(presetByName('study'))
  return {
    ...small,
    name: 'tiny',
    decoder: { ...small.decoder, dropout: 0 },
    base: { ...small.base, dropout: 0 },
    train: { ...small.train, batch: 2, stage2: { ...small.train.stage2, batch: 2 } },
  }
}

const configs = (): Config[] => [narrow32(), presetByName('emoji64'), wide128()]

/** A configuration of the benchmark without dropout, whose masks are drawn by rounding. @throws when there is none of that name */
export const configByName = (name: string): Config => {
  const found = [tiny(), ...configs()].find((config) => config.name === name)
  if (found === undefined) throw new Error(`there is no configuration '${name}'`)
  const { decoder, base } = found
  return { ...found, decoder: { ...decoder, dropout: 0 }, base: { ...base, dropout: 0 } }
}

const trainingCases = (of: readonly Config[]): Case[] =>
  stages.flatMap((stage) =>
    of.filter((config) => stage.applies(config)).map((config) => trainingCase(stage, config)),
  )

const onCpu = (): Case[] => [
  matmulCase,
  ...trainingCases(configs()),
  ...(['decode', 'reconstruct', 'encode'] as const).flatMap((kind) =>
    configs().map((config) => codecCase(kind, config)),
  ),
  blockCase(attentionBlock(128, 64, 32)),
  blockCase(attentionBlock(256, 64, 32)),
  blockCase(attentionBlock(512, 256, 4)),
  blockCase(residualBlock(32, 32, 16)),
  blockCase(residualBlock(64, 32, 16)),
  blockCase(residualBlock(128, 32, 16)),
]

/** Sides of the products on a card, which a smaller one does not fill, and on a software adapter. */
const [sideOnCard, sideInSoftware] = [4096, 256]

/**
 * The cases of a device in the order of the table, the first of which is the product that rates are compared with. Off the CPU
 * they are training steps: of all else what is measured would be how tensors cross the bus.
 * @param small whether there shall be the smallest networks alone
 */
export const casesOn = (device: Device, small: boolean): Case[] => {
  if (small) return [productCase(sideInSoftware), ...trainingCases([tiny()])]
  return device === 'cpu' ? onCpu() : [productCase(sideOnCard), ...trainingCases(configs())]
}

/** Every case of any device by its name. @throws when there is none of that name */
export const caseByName = (name: string): Case => {
  const all = [...onCpu(), ...casesOn('webgpu', true), ...casesOn('webgpu', false)]
  const found = all.find((own) => own.name === name)
  if (found === undefined)
    throw new Error(`there is no case '${name}'; the cases are ${all.map((own) => own.name)}`)
  return found
}
