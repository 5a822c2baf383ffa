/** @file The model that the site brings: its files lie in the build under names with a hash of their content. */
import config from '../../../../pretrained/emoji64/config.yaml?url'
import info from '../../../../pretrained/emoji64/run.json?url'
import weights from '../../../../pretrained/emoji64/weights.safetensors?url'
import type { ModelSource } from '../engine/protocol.ts'

const absolute = (url: string): string => new URL(url, location.href).href

/** emoji64 */
export const shippedModel: ModelSource = {
  kind: 'urls',
  name: 'emoji64',
  urls: {
    'config.yaml': absolute(config),
    'run.json': absolute(info),
    'weights.safetensors': absolute(weights),
  },
}
