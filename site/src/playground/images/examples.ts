/** @file Images that the site brings: emoji that the shipped model was not trained on. */

import hotDog from '@lobehub/fluent-emoji-3d/assets/1f32d.webp?url'
import panda from '@lobehub/fluent-emoji-3d/assets/1f43c.webp?url'
import peacock from '@lobehub/fluent-emoji-3d/assets/1f99a.webp?url'
import tulip from '@lobehub/fluent-emoji-3d/assets/1f337.webp?url'
import penguin from '@lobehub/fluent-emoji-3d/assets/1f427.webp?url'
import sleeping from '@lobehub/fluent-emoji-3d/assets/1f634.webp?url'
import automobile from '@lobehub/fluent-emoji-3d/assets/1f697.webp?url'
import accordion from '@lobehub/fluent-emoji-3d/assets/1fa97.webp?url'

/** An image by its name. */
export interface Example {
  readonly name: string
  readonly url: string
}

/** All of them, in the order in which they are shown. */
export const examples: readonly Example[] = [
  { name: 'panda', url: panda },
  { name: 'peacock', url: peacock },
  { name: 'hot dog', url: hotDog },
  { name: 'automobile', url: automobile },
  { name: 'penguin', url: penguin },
  { name: 'sleeping face', url: sleeping },
  { name: 'tulip', url: tulip },
  { name: 'accordion', url: accordion },
]
