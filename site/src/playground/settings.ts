/** @file What a link to the playground holds: the settings behind `#`, each only where it is not what it would be anyway. */

/** The tabs, in their order. */
export const tabs = [
  ['reconstruct', 'Reconstruct'],
  ['generate', 'Generate'],
  ['interpolate', 'Interpolate'],
  ['repaint', 'Repaint'],
] as const

/** A tab by its name. */
export type TabName = (typeof tabs)[number][0]

/** Everything that a person sets. Null is what the model's configuration says. */
export interface Settings {
  tab: TabName
  /** Names of bundled examples; empty for none. */
  image: string
  other: string
  /** How an image that is not square becomes one. */
  fit: 'crop' | 'pad'
  /** Of every noise. */
  seed: number
  decoderSteps: number | null
  latentSteps: number | null
  guidance: number | null
  /** What is generated, by its name; empty for one of each in turn. */
  choice: string
  /** Samples at once. */
  count: number
  /** Share of the other image. */
  mix: number
  /** What of the latent is shown: its main directions, or a channel. */
  view: 'pca' | number
  device: 'auto' | 'wasm' | 'webgpu'
}

/** Numbers of samples that are offered. */
export const counts = [1, 4, 9, 16] as const
/** Most steps of a chain. */
export const mostSteps = 200

/** What there is where a link says nothing. */
export const defaults: Readonly<Settings> = {
  tab: 'reconstruct',
  image: '',
  other: '',
  fit: 'crop',
  seed: 0,
  decoderSteps: null,
  latentSteps: null,
  guidance: null,
  choice: '',
  count: 4,
  mix: 0.5,
  view: 'pca',
  device: 'auto',
}

type Parse<T> = (text: string) => T | undefined

const oneOf =
  <T extends string>(...names: readonly T[]): Parse<T> =>
  (text) =>
    names.find((name) => name === text)

const numberIn =
  (least: number, most: number, isWhole: boolean): Parse<number> =>
  (text) => {
    const value = Number(text)
    const isIn = text.trim() !== '' && value >= least && value <= most
    return isIn && (!isWhole || Number.isInteger(value)) ? value : undefined
  }

const whole = (least: number, most: number): Parse<number> => numberIn(least, most, true)

/** How each is read; what does not read is as if it were not said. */
const parsers: { readonly [K in keyof Settings]: Parse<Settings[K]> } = {
  tab: oneOf(...tabs.map(([name]) => name)),
  image: (text) => text,
  other: (text) => text,
  fit: oneOf('crop', 'pad'),
  seed: whole(0, 2 ** 32 - 1),
  decoderSteps: whole(1, mostSteps),
  latentSteps: whole(1, mostSteps),
  guidance: numberIn(0, 20, false),
  choice: (text) => text,
  count: (text) => counts.find((count) => String(count) === text),
  mix: numberIn(0, 1, false),
  view: (text) => (text === 'pca' ? 'pca' : whole(0, 4095)(text)),
  device: oneOf('auto', 'wasm', 'webgpu'),
}

const names = Object.keys(defaults) as (keyof Settings)[]

/** The settings of a link's hash, with or without `#`. What it holds besides, or holds wrongly, is left out. */
export const settingsIn = (hash: string): Settings => {
  const given = new URLSearchParams(hash.replace(/^#/, ''))
  const settings: Settings = { ...defaults }
  const take = <K extends keyof Settings>(name: K): void => {
    const text = given.get(name)
    settings[name] = (text === null ? undefined : parsers[name](text)) ?? defaults[name]
  }
  names.forEach(take)
  return settings
}

/** The hash of settings, with `#`; empty where all are what they would be anyway. */
export const hashOf = (settings: Settings): string => {
  const said = names.filter((name) => settings[name] !== defaults[name])
  const text = new URLSearchParams(
    said.map((name): [string, string] => [name, String(settings[name])]),
  ).toString()
  return text === '' ? '' : `#${text}`
}
