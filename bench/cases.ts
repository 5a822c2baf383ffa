/** @file All cases: which networks, and in which order they are measured. */
import { presetByName } from '../src/config/load.ts'
import type { Config } from '../src/config/schema.ts'
import { trace } from '../src/engine/ir/program.ts'
import { matmul } from '../src/engine/ops/matmul.ts'
import { stages } from '../src/stages/list.ts'
import { attentionBlock, blockCase, residualBlock } from './blocks.ts'
import { type Case, gflopsOf, normal, type Tensors } from './case.ts'
import { codecCase } from './codec.ts'
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

const configs = (): Config[] => [narrow32(), presetByName('emoji64'), wide128()]

const side = 1024

/** The matrix product that rates are compared with. */
export const matmulCase: Case = {
  name: 'matmul',
  title: `${side}³ matrix product`,
  prepare: async (runtime, handOver) => {
    const inputs = { a: normal([side, side], 'a'), b: normal([side, side], 'b') }
    const program = trace('matmul', inputs, ({ a, b }) => ({ output: matmul(a, b) }))
    const executable = await runtime.compile(program)
    const run = (): Promise<Tensors> => executable.run(inputs)
    handOver({ params: {}, inputs, expected: await run(), info: { kind: 'matmul' } })
    return { gflops: gflopsOf(program.outputs), run }
  },
}

/** All cases in the order of the table. */
export const allCases = (): Case[] => [
  matmulCase,
  ...stages.flatMap((stage) =>
    configs()
      .filter((config) => stage.applies(config))
      .map((config) => trainingCase(stage, config)),
  ),
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
