/**
 * @file Scenes of sprites that move by simple laws before a background that rests: where everything is in every frame, and
 * the frames. A scene is a pure function of its name and settings.
 */

import { type RandomKey, randomUniform, streamKey } from '../../engine/host/random.ts'
import type { Sprite } from './sprites.ts'

/** Where a sprite is in one frame. */
export interface Place {
  /** Its centre in pixels from the left; the first pixel reaches from 0 to 1. */
  readonly x: number
  /** Its centre in pixels from the top. */
  readonly y: number
  /** Turn in radians, clockwise. */
  readonly angle: number
  /** Side of its square as a share of the frame's. */
  readonly scale: number
}

/** A sprite and its way. */
export interface MovingSprite {
  readonly sprite: Sprite
  /** One for each frame. */
  readonly places: readonly Place[]
}

/** Everything that is seen in a clip. */
export interface MovingScene {
  /** Height and width of a frame in pixels. */
  readonly size: number
  /** [size, size, 3], 0..255 */
  readonly background: Float32Array
  /** The first is in front of the others. */
  readonly sprites: readonly MovingSprite[]
}

/** What a scene is made of. */
export interface SceneRequest {
  readonly half: 'train' | 'validation'
  readonly index: number
  /** Height and width of a frame in pixels. */
  readonly size: number
  readonly frames: number
  /** Sprites by class; every class has some. */
  readonly byClass: readonly (readonly Sprite[])[]
}

/** Side of a sprite as a share of the frame's, smallest and largest. */
export const SCALES: readonly [number, number] = [0.4, 0.6]

/** Walls that centres bounce off, as shares of the frame's side. */
export const WALLS: readonly [number, number] = [0.2, 0.8]

/** Frames that speeds are drawn for: in as many a sprite goes 0.5 to 1.5 of the frame's side. */
const SPAN = 16
const SPEEDS: readonly [number, number] = [0.5, 1.5]

/** Largest turn at the beginning and further turn in SPAN frames, in radians. */
const [TILT, TURN] = [0.4, 1.2]

/** Named beside the seed of no run: the clips are a data set, the same for all. */
const SEED = 1

/** Draws one after the other. */
type Draw = (low?: number, high?: number) => number

const drawsOf = (key: RandomKey): Draw => {
  let drawn = 0
  return (low = 0, high = 1) => low + (high - low) * randomUniform(key, drawn++)
}

const oneOf = <T>(draw: Draw, list: readonly T[]): T => list[Math.floor(draw() * list.length)]

/** Where something is after a time that moves at constant speed between two walls and bounces off them. */
export const bounced = (
  from: number,
  speed: number,
  time: number,
  [low, high]: readonly [number, number],
): number => {
  const span = high - low
  const along = from - low + speed * time
  const at = along - 2 * span * Math.floor(along / (2 * span))
  return low + (at <= span ? at : 2 * span - at)
}

/** A way that starts at a place given in shares of the frame's side. [frames] */
const drawWay = (
  draw: Draw,
  [x, y]: readonly [number, number],
  { size, frames }: SceneRequest,
): readonly Place[] => {
  const speed = draw(...SPEEDS) / SPAN
  const direction = draw(0, 2 * Math.PI)
  const [tilt, turn] = [draw(-TILT, TILT), draw(-TURN, TURN) / SPAN]
  const [scale, growth] = [draw(...SCALES), draw(-0.2, 0.2) / SPAN]
  return Array.from({ length: frames }, (_, t) => ({
    x: size * bounced(x, speed * Math.cos(direction), t, WALLS),
    y: size * bounced(y, speed * Math.sin(direction), t, WALLS),
    angle: tilt + turn * t,
    scale: bounced(scale, growth, t, SCALES),
  }))
}

/** A colour, 0..255, of a brightness that sprites are told from. */
const drawColour = (draw: Draw): readonly number[] => {
  const hue = draw()
  const [saturation, value] = [draw(0.15, 0.6), draw(0.45, 0.95)]
  return [0, 1, 2].map((c) => {
    const wave = 0.5 + 0.5 * Math.cos(2 * Math.PI * (hue - c / 3))
    return 255 * value * (1 - saturation * (1 - wave))
  })
}

/** Two colours that go over into each other: along a line, or as three waves cross. [size, size, 3], 0..255 */
const drawBackground = (draw: Draw, size: number): Float32Array => {
  const [from, to] = [drawColour(draw), drawColour(draw)]
  const isGradient = draw() < 0.5
  // a gradient is a wave of which the frame holds half a period at most
  const waves = Array.from({ length: isGradient ? 1 : 3 }, () => {
    const direction = draw(0, 2 * Math.PI)
    const phase = isGradient ? Math.PI / 2 : draw(0, 2 * Math.PI)
    const turns = 2 * Math.PI * (isGradient ? 0.35 : draw(0.8, 2.5))
    return { x: turns * Math.cos(direction), y: turns * Math.sin(direction), phase }
  })
  const out = new Float32Array(size * size * 3)
  for (let i = 0; i < size * size; i++) {
    const [x, y] = [((i % size) + 0.5) / size - 0.5, (Math.floor(i / size) + 0.5) / size - 0.5]
    let sum = 0
    for (const wave of waves) sum += Math.cos(wave.x * x + wave.y * y + wave.phase)
    const share = 0.5 + (0.5 * sum) / waves.length
    for (let c = 0; c < 3; c++) out[i * 3 + c] = from[c] + (to[c] - from[c]) * share
  }
  return out
}

/** The draws of a clip, and the sprite in front, which are all that its class and caption depend on. */
const beginScene = ({ half, index, byClass }: Omit<SceneRequest, 'size' | 'frames'>) => {
  const draw = drawsOf(streamKey(SEED, 'moving', half, index))
  return { draw, front: oneOf(draw, oneOf(draw, byClass)) }
}

/** The sprite in front of a clip: classes are equally likely, and so are the sprites of one. */
export const frontSprite = (request: Omit<SceneRequest, 'size' | 'frames'>): Sprite =>
  beginScene(request).front

/** A clip's scene: one sprite, or two, of which the second begins on the other side of the frame. */
export const movingScene = (request: SceneRequest): MovingScene => {
  const { size, byClass } = request
  const { draw, front } = beginScene(request)
  const others = draw() < 0.5 ? [] : [oneOf(draw, oneOf(draw, byClass))]
  const [x, y] = [draw(...WALLS), draw(...WALLS)]
  const starts: readonly (readonly [number, number])[] = [
    [x, y],
    [1 - x, 1 - y],
  ]
  const sprites = [front, ...others].map((sprite, i) => ({
    sprite,
    places: drawWay(draw, starts[i], request),
  }))
  return { size, background: drawBackground(draw, size), sprites }
}

/** Lays a sprite on an image: bilinear, transparent outside its square. @param out [size, size, 3], changed in place */
const layOn = (out: Float32Array, size: number, { side, colour, cover }: Sprite, place: Place): void => {
  const { x, y, angle, scale } = place
  const perPixel = side / (scale * size)
  const [cos, sin] = [Math.cos(angle) * perPixel, Math.sin(angle) * perPixel]
  // half of the square that holds the turned sprite and the half texel by which it fades out
  const reach = ((side + 1) / 2 / perPixel ** 2) * (Math.abs(cos) + Math.abs(sin))
  const [left, right] = [Math.max(0, Math.floor(x - reach)), Math.min(size, Math.ceil(x + reach))]
  const [top, bottom] = [Math.max(0, Math.floor(y - reach)), Math.min(size, Math.ceil(y + reach))]
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const dx = column + 0.5 - x
      const dy = row + 0.5 - y
      const u = cos * dx + sin * dy + (side - 1) / 2
      const v = cos * dy - sin * dx + (side - 1) / 2
      if (u <= -1 || v <= -1 || u >= side || v >= side) continue
      const u0 = Math.floor(u)
      const v0 = Math.floor(v)
      let red = 0
      let green = 0
      let blue = 0
      let alpha = 0
      for (let vk = Math.max(0, v0); vk <= v0 + 1 && vk < side; vk++) {
        for (let uk = Math.max(0, u0); uk <= u0 + 1 && uk < side; uk++) {
          const weight = (1 - Math.abs(u - uk)) * (1 - Math.abs(v - vk))
          const at = (vk * side + uk) * 3
          red += weight * colour[at]
          green += weight * colour[at + 1]
          blue += weight * colour[at + 2]
          alpha += weight * cover[at]
        }
      }
      const to = (row * size + column) * 3
      const rest = 1 - alpha / 255
      out[to] = red + rest * out[to]
      out[to + 1] = green + rest * out[to + 1]
      out[to + 2] = blue + rest * out[to + 2]
    }
  }
}

/**
 * A frame of a scene with its sprites at given places, which need not be those of the scene. [size, size, 3], 0..255
 * @param places one for each sprite; null leaves it away
 */
export const renderFrame = (
  { size, background, sprites }: MovingScene,
  places: readonly (Place | null)[],
): Uint8Array => {
  const image = background.slice()
  for (let i = sprites.length - 1; i >= 0; i--) {
    const place = places[i]
    if (place) layOn(image, size, sprites[i].sprite, place)
  }
  const out = new Uint8Array(image.length)
  for (let i = 0; i < out.length; i++) out[i] = Math.min(255, image[i] + 0.5)
  return out
}

/** Where the sprites of a scene are in a frame, counted from 0. */
export const placesAt = ({ sprites }: MovingScene, frame: number): readonly Place[] =>
  sprites.map(({ places }) => places[frame])
