/** @file The classifier of examples/fashionClassifier.ts on made-up images: it learns, and its features are those of the written network. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { accuracyOf, type Images, trainClassifier, writeFeatures } from '../../examples/fashionClassifier.ts'
import { openFeatureNetwork } from '../../src/features/network.ts'

const folder = mkdtempSync(join(tmpdir(), 'classifier-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const size = 8
/** Images that are bright above or below, by their class, on a background of their own. */
const images: Images = {
  count: 100,
  size,
  classes: ['above', 'below'],
  label: (index) => index % 2,
  read: async (indices) =>
    Uint8Array.from(
      indices.flatMap((index) =>
        Array.from({ length: size * size * 3 }, (_, i) => {
          const below = Math.floor(i / (3 * size)) >= size / 2
          return ((37 * index) % 90) + (below === (index % 2 === 1) ? 150 : 0)
        }),
      ),
    ),
}

it('learns, mirrors included, and writes the features that the feature network gives', async () => {
  const losses: number[] = []
  const weights = await trainClassifier(images, 60, (_, loss) => losses.push(loss))
  expect(losses).toHaveLength(60)
  expect(losses[0]).toBeCloseTo(Math.log(2), 5) // its last layer starts at zero
  expect(losses[59]).toBeLessThan(0.1)
  expect(await accuracyOf(weights, images)).toBe(1)
  expect(await accuracyOf(weights, { ...images, label: (index) => 1 - (index % 2) })).toBe(0)

  const path = writeFeatures(weights, images, folder, 'FD-two')
  const network = await openFeatureNetwork(path, { threads: 1 })
  expect([network.name, network.dimension]).toEqual(['FD-two', 96])
  const rows = await network.features(await images.read([0, 1, 2]), { width: size, height: size })
  await network.dispose()
  // The last layer alone tells the classes from these features.
  const [weight, bias] = ['weight', 'bias'].map(
    (name) => weights[`classifier.out.${name}`].data as Float32Array,
  )
  const margin = (row: number): number =>
    Array.from(rows.subarray(96 * row, 96 * (row + 1))).reduce(
      (sum, v, i) => sum + v * (weight[2 * i + 1] - weight[2 * i]),
      bias[1] - bias[0],
    )
  expect([0, 1, 2].map((row) => Math.sign(margin(row)))).toEqual([-1, 1, -1])
  expect(JSON.parse(readFileSync(join(folder, 'fashion.json'), 'utf8'))).toMatchObject({ range: [-1, 1] })
})
