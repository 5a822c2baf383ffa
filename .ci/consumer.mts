/** A program of somebody who installed the package: compiled under `strict` and run by .ci/package. */
import { float32, gradient, presetByName, trace } from 'unified-latents'
import { type DataOptions, type DataSplit, NodeRuntime, openData } from 'unified-latents/node'
import { reduceSum, square } from 'unified-latents/ops'
import { openWebRuntime, type WebRuntime } from 'unified-latents/web'

const program = trace('squares', { x: { shape: [3] } }, ({ x }) => {
  const loss = reduceSum(square(x))
  return { loss, dx: gradient(loss, [x])[0] }
})
const executable = await new NodeRuntime().compile(program)
const { loss } = await executable.run({ x: float32([3], [1, 2, 3]) })
const options: DataOptions = { source: 'emoji', size: presetByName('quickstart').data.size }
const data: DataSplit = await openData(options)
if (loss.data[0] !== 14 || data.train.count !== 3084 || data.summary.files !== 3375)
  throw new Error('other numbers')

// An optional peer that this project does not have.
const inPage: WebRuntime | string = await openWebRuntime({ device: 'wasm' }).catch(
  (error: Error) => error.message,
)
if (
  typeof inPage !== 'string' ||
  !/^runtime: onnxruntime-web could not be loaded .*; install it/s.test(inPage)
)
  throw new Error(`onnxruntime-web is not installed here, but ${JSON.stringify(inPage)}`)
