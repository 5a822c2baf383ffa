/** @file What a person sets of a run in a tab: few things of the preset `tab`, each with what it may be. */
import { applySettings, presetByName } from '../config/load.ts'
import { presets } from '../config/presets.ts'
import type { Config } from '../config/schema.ts'
import { runFolder } from './download.ts'
import { pictureFolder } from './pictures.ts'

/** Which pictures a run is trained on: the bundled ones, or those that a person brought. */
export type PictureChoice = 'bundled' | 'own'

/** What is chosen of a run. */
export interface Choices {
  /** Also the name of its folder: letters, digits, points, dashes. */
  readonly name: string
  readonly pictures: PictureChoice
  readonly steps: number
  readonly lossFactor: number
  readonly channels: number
}

const { train, decoder, latent, data } = presets.tab

/** What is chosen where nothing else is. */
export const usualChoices: Omit<Choices, 'name' | 'pictures'> = {
  steps: train.stage1.steps,
  lossFactor: decoder.lossFactor,
  channels: latent.channels,
}

/** Height and width of pictures, in pixels. */
export const pictureSize: number = data.size

/** Bounds of what is chosen. */
export const choiceBounds = { steps: [1, 100_000], lossFactor: [0.5, 64], channels: [1, 64] } as const

/** What is wrong with a name, or null. */
export const nameFault = (name: string): string | null =>
  /^[\p{L}\p{N}][\p{L}\p{N}.-]{0,39}$/u.test(name)
    ? null
    : `the name is "${name}"; give one of up to 40 letters, digits, points and dashes that begins with a letter or digit`

/**
 * The configuration of a run. Pictures of one's own are named where the download puts them, seen from where it is unpacked.
 * @throws ConfigError naming what is not possible
 */
export const configOf = ({ name, pictures, steps, lossFactor, channels }: Choices): Config => {
  const fault = nameFault(name)
  if (fault !== null) throw new Error(fault)
  return applySettings({ ...presetByName('tab'), name }, [
    `train.stage1.steps=${steps}`,
    `decoder.lossFactor=${lossFactor}`,
    `latent.channels=${channels}`,
    ...(pictures === 'bundled'
      ? []
      : ['data.source=folder', `data.path=${runFolder(name)}/${pictureFolder}`, 'data.balance=false']),
  ])
}
