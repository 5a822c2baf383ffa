/** @file Reads the Keras network that the package nsfwjs carries, by path: its own code is not run. */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { z } from 'zod'
import { float32, type HostTensor, sizeOf } from '../engine/host/tensor.ts'

const version = '4.3.0'
const install = `npm install --no-save --legacy-peer-deps nsfwjs@${version}`

const layerSchema = z.object({
  name: z.string(),
  class_name: z.string(),
  config: z.record(z.string(), z.unknown()),
  /** One call: [layer, node, tensor, …] for each input. */
  inbound_nodes: z.array(z.array(z.tuple([z.string()], z.unknown()))).max(1),
})

const modelSchema = z.object({
  modelTopology: z.object({ model_config: z.object({ config: z.object({ layers: z.array(layerSchema) }) }) }),
  weightsManifest: z.tuple([
    z.object({
      paths: z.array(z.string()),
      weights: z.array(
        z.object({
          name: z.string(),
          shape: z.array(z.int()),
          quantization: z.object({ min: z.number(), scale: z.number(), dtype: z.literal('uint8') }),
        }),
      ),
    }),
  ]),
})

/** One layer of a Keras network. */
export interface KerasLayer {
  readonly name: string
  readonly kind: string
  readonly config: Readonly<Record<string, unknown>>
  /** Names of the layers that it reads. */
  readonly inputs: readonly string[]
}

/** A Keras network with its weights in Keras' layouts. */
export interface KerasModel {
  readonly layers: readonly KerasLayer[]
  /** Weights by name, brought back from 8 bits (q·scale + min). @throws when there are none of that name */
  weight(name: string): HostTensor
}

/** The model's folder: beside this code, or in the project that the command runs in. @throws how to install it. */
const modelFolder = (): string => {
  const starts = [import.meta.url, join(process.cwd(), 'package.json')]
  const places = starts.flatMap((start) => createRequire(start).resolve.paths('nsfwjs') ?? [])
  const folder = places.map((place) => join(place, 'nsfwjs')).find((place) => existsSync(place))
  if (folder === undefined) throw new Error(`features: package nsfwjs is not installed; run ${install}`)
  const { version: found } = z
    .object({ version: z.string() })
    .parse(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')))
  if (found !== version) {
    throw new Error(`features: nsfwjs ${found} is installed, other weights than ${version}; run ${install}`)
  }
  return join(folder, 'dist', 'models', 'inception_v3')
}

/** The literal that a bundled CommonJS module exports: from its assignment to the end of the module's function. */
const exportedLiteral = (file: string): string => {
  const text = readFileSync(file, 'latin1')
  const literal = /\b\w+\.exports=("[^"]*"|\{modelTopology.*\})\},\{\}\]\},\{\},\[1\]\)/s.exec(text)?.[1]
  if (literal === undefined) throw new Error(`features: ${file} is not as expected; run ${install}`)
  return literal
}

/** A minified object literal as JSON: keys quoted, !0 and !1 spelt out, zeros put before points. */
const literalToJson = (literal: string): string =>
  literal.replace(/"[^"]*"|[A-Za-z_]\w*(?=:)|![01]|(?<![\d.])\.(?=\d)/g, (token) => {
    if (token.startsWith('"')) return token
    if (token === '!0' || token === '!1') return String(token === '!0')
    return token === '.' ? '0.' : `"${token}"`
  })

/**
 * Reads the network.
 * @throws how to install the package when it or this version of it is missing
 */
export const readKerasModel = (): KerasModel => {
  const folder = modelFolder()
  const model = modelSchema.parse(JSON.parse(literalToJson(exportedLiteral(join(folder, 'model.min.js')))))
  const [{ paths, weights: entries }] = model.weightsManifest
  const shards = paths.map((path) => exportedLiteral(join(folder, `${path}.min.js`)).slice(1, -1))
  const bytes = Buffer.concat(shards.map((shard) => Buffer.from(shard, 'base64')))
  const places = new Map<string, { readonly offset: number; readonly entry: (typeof entries)[number] }>()
  let offset = 0
  for (const entry of entries) {
    places.set(entry.name, { offset, entry })
    offset += sizeOf(entry.shape)
  }
  if (offset !== bytes.length)
    throw new Error(`features: the weights in ${folder} are incomplete; run ${install}`)
  const weight = (name: string): HostTensor => {
    const place = places.get(name)
    if (place === undefined) throw new Error(`features: ${folder} has no weights ${name}; run ${install}`)
    const { shape, quantization } = place.entry
    const quantised = bytes.subarray(place.offset, place.offset + sizeOf(shape))
    return float32(
      shape,
      Float32Array.from(quantised, (q) => q * quantization.scale + quantization.min),
    )
  }
  const layers = model.modelTopology.model_config.config.layers.map((layer) => ({
    name: layer.name,
    kind: layer.class_name,
    config: layer.config,
    inputs: (layer.inbound_nodes[0] ?? []).map(([name]) => name),
  }))
  return { layers, weight }
}
