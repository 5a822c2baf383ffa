/** @file Names of logged and measured numbers as a reader knows them, with units, and the order in which they matter. */

/** A number's title, its unit, and whether small values are told apart on a logarithmic axis alone. */
export interface MetricName {
  readonly title: string
  readonly unit: string
}

/** The best known first; what is not listed follows in the order of its name. */
const known: Readonly<Record<string, MetricName>> = {
  bitsPerPixel: { title: 'Latent rate', unit: 'bits/pixel' },
  decoderNatsPerPixel: { title: 'Decoder loss', unit: 'nats/pixel' },
  psnr: { title: 'PSNR', unit: 'dB' },
  rFD: { title: 'rFD', unit: '' },
  gFD: { title: 'gFD', unit: '' },
  imagesPerSecond: { title: 'Throughput', unit: 'images/s' },
  lr: { title: 'Learning rate', unit: '' },
  loss: { title: 'Loss', unit: 'nats' },
  baseNats: { title: 'Base model loss', unit: 'nats' },
  teacherError: { title: 'Distance from the teacher', unit: 'rms' },
  gradNorm: { title: 'Gradient norm', unit: '' },
  latentRms: { title: 'Latent size', unit: 'rms' },
  ssim: { title: 'SSIM', unit: '' },
  gridPsnr: { title: 'PSNR of the latent grid', unit: 'dB' },
  flatError: { title: 'Flat error', unit: '1/255' },
  bitsPerDim: { title: 'Rate per latent number', unit: 'bits' },
  baseBitsPerPixel: { title: 'Rate by the base model', unit: 'bits/pixel' },
  priorNats: { title: 'Prior term', unit: 'nats' },
  terminalNats: { title: 'Terminal term', unit: 'nats' },
  decoderNats: { title: 'Decoder term', unit: 'nats' },
  KID: { title: 'KID', unit: '' },
  precision: { title: 'Precision', unit: '' },
  recall: { title: 'Recall', unit: '' },
  count: { title: 'Images measured', unit: '' },
}

const order = Object.keys(known)

/** `decoderNatsPerPixel` as `decoder nats per pixel`; capitals in a row stay together. */
const spelled = (name: string): string =>
  name.replace(/([a-z\d])([A-Z])/g, (_, end: string, start: string) => `${end} ${start.toLowerCase()}`)

/** A metric's name; a name that is not known is spelled out. */
export const metricName = (metric: string): MetricName =>
  known[metric] ?? { title: spelled(metric), unit: '' }

/** `Latent rate, bits/pixel`. */
export const metricLabel = (metric: string): string => {
  const { title, unit } = metricName(metric)
  return unit === '' ? title : `${title}, ${unit}`
}

const place = (metric: string): number => {
  const at = order.indexOf(metric)
  return at < 0 ? order.length : at
}

/** Metrics, what matters most first. */
export const inOrder = (metrics: Iterable<string>): string[] =>
  [...new Set(metrics)].sort((a, b) => place(a) - place(b) || a.localeCompare(b))
