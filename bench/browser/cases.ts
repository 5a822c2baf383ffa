/** @file The cases that run in a page. */
import { attentionBlock, blockCase, residualBlock } from '../blocks.ts'
import type { Case } from '../case.ts'
import { matmulCase, productCase } from '../product.ts'

const byWasm: readonly Case[] = [
  matmulCase,
  blockCase(attentionBlock(128, 64, 32)),
  blockCase(attentionBlock(256, 64, 32)),
  blockCase(residualBlock(32, 32, 16)),
  blockCase(residualBlock(64, 32, 16)),
]

/** Small: WebGPU's adapter may be software. No name is one of the others'. */
const byWebGpu: readonly Case[] = [
  productCase(256),
  blockCase(attentionBlock(64, 64, 4)),
  blockCase(residualBlock(16, 32, 2)),
]

/** In the order of the table; the first is the product that rates are compared with. */
export const casesInPage: Readonly<Record<'wasm' | 'webgpu', readonly Case[]>> = {
  wasm: byWasm,
  webgpu: byWebGpu,
}

/** A case by its name. @throws when there is none of that name */
export const caseInPage = (name: string): Case => {
  const found = [...byWasm, ...byWebGpu].find((own) => own.name === name)
  if (found === undefined) throw new Error(`there is no case '${name}' in a page`)
  return found
}
