/**
 * @file Every parser on changed inputs: it gives data or one sentence, within 5 s and 1 GiB. So many inputs a parser as
 * `UL_FUZZ` says (`npm run fuzz`: 100,000), else 2,000 where tests must repeat (CI), and a few while one works.
 */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { parseConfig, presetByName, showConfig } from '../../src/config/load.ts'
import { parseSweep } from '../../src/config/sweepFile.ts'
import { openClip } from '../../src/data/clips/clip.ts'
import { csvRows } from '../../src/data/formats/csv.ts'
import { decodeImage, isUndecodable } from '../../src/data/images/decode.ts'
import { float32, int32 } from '../../src/engine/host/tensor.ts'
import { inspectSafetensors, readSafetensors, writeSafetensors } from '../../src/files/safetensors.ts'
import { infoSchema } from '../../src/model/info.ts'
import { evaluationSchema, provenancesSchema, qualitySchema } from '../../src/runs/checked.ts'
import { readMetrics } from '../../src/runs/metrics.ts'
import { parseChecked } from '../../src/stored/checkedJson.ts'
import { cases, readAll } from '../data/containerCases.ts'
import { goldenData, goldenImage } from '../data/golden.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { mutations } from './mutations.ts'

const inputs = Number(process.env.UL_FUZZ ?? (process.env.CI === undefined ? 40 : 2000))
const mostSeconds = 5
const mostBytes = 2 ** 30

/** A parser with inputs that it takes. */
interface Parser {
  readonly name: string
  /** The files, of which one at a time is changed. */
  readonly seeds: () => Promise<readonly Seed[]>
}

interface Seed {
  readonly whole: Buffer
  /** @throws one sentence */
  parse(bytes: Buffer): Promise<unknown> | unknown
}

/** Files of one kind of data. */
const ofSource = (source: string): Parser => ({
  name: source,
  seeds: () =>
    Promise.all(
      cases
        .filter((own) => own.source === source)
        .map(async ({ file: make, beside = [] }) => {
          const given = await make()
          const folder = await temporaryFolder()
          const file = path.join(folder, path.basename(given))
          for (const other of beside) await copyFile(other, path.join(folder, path.basename(other)))
          let turn = 0
          return {
            whole: await readFile(given),
            parse: async (bytes: Buffer) => {
              await writeFile(file, bytes)
              await readAll(source, file, turn++ % 2 === 0 ? 0 : 2 ** 20)
            },
          }
        }),
    ),
})

const raw = { raw: { width: 16, height: 16, channels: 3 } } as const
const images: Parser = {
  name: 'encoded images',
  seeds: () =>
    Promise.all(
      (['png', 'jpeg', 'webp', 'gif', 'avif'] as const).map(async (format) => ({
        whole: await sharp(goldenImage(1, 16), raw).toFormat(format).toBuffer(),
        parse: async (bytes: Buffer) => {
          const decoded = await decodeImage(bytes, { size: 8, fit: 'cover' })
          if (isUndecodable(decoded)) throw new Error(decoded.reason)
        },
      })),
    ),
}

/** Animations that libvips reads. */
const animations: Parser = {
  name: 'animations',
  seeds: () =>
    Promise.all(
      (['gif', 'webp'] as const).map(async (format) => {
        const file = path.join(await temporaryFolder(), `clip.${format}`)
        const frames = await Promise.all(
          [0, 1, 2].map((i) => sharp(goldenImage(i, 16), raw).png().toBuffer()),
        )
        return {
          whole: await sharp(frames, { join: { animated: true } })
            .toFormat(format)
            .toBuffer(),
          parse: async (bytes: Buffer) => {
            await writeFile(file, bytes)
            const clip = await openClip({ file }, 8)
            for await (const frame of clip.frames({ first: 0, stride: 1, count: clip.count }))
              expect(frame.length).toBe(8 * 8 * 3)
          },
        }
      }),
    ),
}

const manifest: Parser = {
  name: 'manifest',
  seeds: async () => {
    const folder = await temporaryFolder()
    const file = path.join(folder, 'metadata.jsonl')
    await mkdir(path.join(folder, 'a'))
    const png = await sharp(goldenImage(1, 16), raw).png().toBuffer()
    for (const name of ['0.png', '1.png', 'a/2.png']) await writeFile(path.join(folder, name), png)
    const lines = ['0.png', '1.png', 'a/2.png'].map((name, i) =>
      JSON.stringify({ file_name: name, label: i, caption: `image ${i}` }),
    )
    return [
      {
        whole: Buffer.from(`${lines.join('\n')}\n`),
        parse: async (bytes) => {
          await writeFile(file, bytes)
          await readAll('manifest', file, 0)
        },
      },
    ]
  },
}

/** A parser of text that is in memory. */
const ofText = (
  name: string,
  texts: () => readonly string[] | Promise<readonly string[]>,
  parse: (text: string) => unknown,
): Parser => ({
  name,
  seeds: async () =>
    (await texts()).map((text) => ({
      whole: Buffer.from(text),
      parse: (bytes) => parse(bytes.toString('utf8')),
    })),
})

const ofFile = (
  name: string,
  whole: (file: string) => Buffer | Promise<Buffer>,
  parse: (file: string) => unknown,
): Parser => ({
  name,
  seeds: async () => {
    const file = path.join(await temporaryFolder(), 'file')
    return [
      {
        whole: await whole(file),
        parse: async (bytes) => {
          await writeFile(file, bytes)
          return parse(file)
        },
      },
    ]
  },
})

const experiment = (name: string): string => path.join(goldenData(), '..', '..', '..', 'experiments', name)

const measured = { mean: 1, error: 0.1 }
const info = { version: 1, classes: ['a', 'b'], trainCount: 3, validationCount: 1, skipped: [] }
const evaluation = {
  ...{
    count: 4,
    psnr: measured,
    ssim: measured,
    gridPsnr: measured,
    bitsPerPixel: measured,
    bitsPerDim: measured,
  },
  ...{ priorNats: measured, terminalNats: measured, decoderNats: measured, latentRms: 1, imagesPerSecond: 9 },
}
const protocol = {
  ...{ network: 'x', quantiser: 'y', latentSampler: 'ddim', decoderSampler: 'ddim', guidance: 1 },
  guidanceLogSnr: [-3, 3],
}
const schemas = [
  [infoSchema, info],
  [evaluationSchema, evaluation],
  [qualitySchema, { protocol, reconstruction: null, generation: null }],
  [provenancesSchema, { quality: { commit: null, version: '0.1.0', date: null, machine: null } }],
] as const

const parsers: readonly Parser[] = [
  ...['webdataset', 'parquet', 'cifar', 'idx', 'npy'].map(ofSource),
  images,
  manifest,
  animations,
  ofText(
    'lists of clips',
    () => ['"label","youtube_id","time_start"\n"a, ""b""","xxxxxxxxxxx","1"\r\n"b","y","0"\n"c","z","2"\n'],
    (text) => [...csvRows(text)],
  ),
  ofFile(
    'safetensors',
    async (file) => {
      writeSafetensors(
        file,
        { z: float32([2, 3], [1, 2, 3, 4, 5, 6]), 'a.b': int32([4], [1, 2, 3, 4]) },
        { files: '["x"]' },
      )
      return readFile(file)
    },
    (file) => {
      inspectSafetensors(file)
      return readSafetensors(file)
    },
  ),
  ofFile(
    'metrics',
    () => Buffer.from('{"stage":"stage1","step":1,"loss":0.5}\n{"stage":"stage2","step":2,"loss":null}\n'),
    (path) =>
      readMetrics(path, (text) => {
        throw new Error(text) // what does not read is left out with a warning: here it counts as refused
      }),
  ),
  ofText(
    'configuration',
    () => [
      showConfig(presetByName('quickstart')),
      'preset: emoji64\nname: mine\ndata: { source: folder, path: x }\n',
    ],
    (text) => parseConfig(text, 'file'),
  ),
  ofText(
    'sweep',
    async () => [await readFile(experiment('loss-factor.yaml'), 'utf8')],
    (text) => parseSweep(text, 'file'),
  ),
  {
    name: 'JSON of a run',
    seeds: async () =>
      schemas.map(([schema, value]) => ({
        whole: Buffer.from(JSON.stringify(value)),
        parse: (bytes) => parseChecked<unknown>(schema, bytes.toString('utf8'), 'file', 'make it again'),
      })),
  },
]

describe.each(parsers)('$name', ({ seeds }) => {
  let own: readonly Seed[]
  beforeAll(async () => {
    own = await seeds()
  })

  it(
    `gives data or one sentence on ${inputs} inputs, within ${mostSeconds} s and 1 GiB`,
    async () => {
      const before = process.resourceUsage().maxRSS
      let refused = 0
      const property = fc.asyncProperty(fc.nat(own.length - 1), mutations, async (i, change) => {
        const { whole, parse } = own[i]
        const start = performance.now()
        try {
          await parse(change(whole))
        } catch (error) {
          refused++
          expect(error).toBeInstanceOf(Error)
          const { message } = error as Error
          expect(message.length).toBeGreaterThan(5)
          expect(message).not.toMatch(
            /\n|Maximum call stack|Invalid (typed )?array length|is not a function|undefined \(reading/,
          )
        }
        expect((performance.now() - start) / 1000).toBeLessThan(mostSeconds)
      })
      await fc.assert(property, { numRuns: inputs })
      expect(refused).toBeGreaterThan(inputs / 100)
      expect((process.resourceUsage().maxRSS - before) * 1024).toBeLessThan(mostBytes)
    },
    60_000 + 100 * inputs,
  )

  it('takes its inputs as they are', async () => {
    for (const { whole, parse } of own) await parse(whole)
  })
})
