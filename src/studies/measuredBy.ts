/** @file By what distances were measured, where that decides whether they compare. */
import { guidanceText } from '../measure/quality.ts'
import type { Quality } from '../metrics/figures.ts'

/**
 * What distances of samples depend on besides the run. Seeds do not change what they mean, nor does what was reconstructed;
 * how many samples there were does. Older protocols word what samples are compared with differently.
 */
export const protocolOf = ({ protocol, generation }: Quality): Readonly<Record<string, unknown>> => {
  const { seed: _, reconstructionsOf: __, samples: ___, samplesAgainst: ____, ...said } = protocol
  return { ...said, images: generation?.fakeCount }
}

/** The part of it that a configuration does not say: distances of other networks, or of other numbers of images, do not compare. */
export const measuredBy = ({ protocol, reconstruction, generation }: Quality): string => {
  const [network] = protocol.network.split(':')
  const images = (generation ?? reconstruction)?.fakeCount
  return `${network}, ${images} images, guidance ${guidanceText(protocol)}`
}
