/**
 * @file Which half of the data a name says, and which part of a path is the class: one rule for folders of images,
 * containers, arrays and the values of a column.
 */

import { someOf } from '../images/scan.ts'

/** Which of the two sides a record was put on by whoever made the data. */
export type Half = 'train' | 'validation'

/** What a name may say of itself. */
type Side = Half | 'test'

/** Words of names that say a side; of a name that says two (`trainval`) it is what is trained on. */
const SIDES: ReadonlyMap<string, Side> = new Map([
  ...(['train', 'training', 'trainval', 'trainset'] as const).map((word) => [word, 'train'] as const),
  ...(['val', 'valid', 'validate', 'validation', 'valset'] as const).map(
    (word) => [word, 'validation'] as const,
  ),
  ...(['test', 'testing', 'testset', 't10k'] as const).map((word) => [word, 'test'] as const),
])

/** Words that say nothing of what a folder holds. */
const NEUTRAL: ReadonlySet<string> = new Set(
  'image images img imgs jpegimages picture pictures pic pics photo photos data dataset set split part file files jpg jpeg png webp tif tiff'.split(
    ' ',
  ),
)

/** `trainA`, `train_images`, `TRAIN2017` → words in small letters; digits say nothing. */
const wordsOf = (name: string): string[] =>
  (name.match(/t10k|[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g) ?? []).map((word) => word.toLowerCase())

/** What a name says; `alone` when it says nothing else, as `train_images_2017` and not `passenger_train`. */
interface Said {
  readonly side: Side
  readonly alone: boolean
}

const saidBy = (name: string): Said | null => {
  const words = wordsOf(name)
  const sides = words.flatMap((word) => SIDES.get(word) ?? [])
  const side = sides.includes('train') ? 'train' : sides[0]
  if (side === undefined) return null
  return { side, alone: words.every((word) => SIDES.has(word) || NEUTRAL.has(word)) }
}

/** Whether a name says neither a class nor a side. */
const isNeutral = (name: string): boolean => {
  const words = wordsOf(name)
  return words.length > 0 && words.every((word) => NEUTRAL.has(word))
}

/** How names part paths into halves. */
export interface NamedSplit {
  /** Which part of each path says it. */
  readonly depth: number
  /** Null for what is left out: a test half beside a validation half, and what says nothing beside what says `train`. */
  halfOf(path: readonly string[]): Half | null
  /** Whether that part of a path says a side, and is hence no class. */
  saysSide(path: readonly string[]): boolean
  /** Names of the two halves, as the data has them. */
  readonly names: Readonly<Record<Half, string>>
  /** Names that are left out. */
  readonly leftOut: readonly string[]
}

type Paths = readonly (readonly string[])[]

const sidesAt = (paths: Paths, depth: number): ReadonlyMap<string, Said | null> => {
  const said = new Map<string, Said | null>()
  for (const { [depth]: name } of paths)
    if (name !== undefined && !said.has(name)) said.set(name, saidBy(name))
  return said
}

/** The split by the names at a depth, null when they do not say one. */
const splitAt = (
  paths: Paths,
  depth: number,
  { explicit, foldersOnly }: { readonly explicit: boolean; readonly foldersOnly: boolean },
): NamedSplit | null => {
  const said = sidesAt(paths, depth)
  const sides = new Set([...said.values()].flatMap((what) => what?.side ?? []))
  const held = sides.has('validation') ? 'validation' : 'test'
  if (!sides.has(held) || sides.has('train') !== explicit) return null
  const saidOf = (path: readonly string[]): Said | null => said.get(path[depth] ?? '') ?? null
  const silent = paths.filter((path) => saidOf(path) === null)
  if (explicit) {
    // `passenger_train` and `test_tube` among many other classes are no split
    const alone = [...said.values()].every((what) => what?.alone !== false)
    if (!alone && 2 * silent.length > paths.length) return null
  } else {
    if (silent.length === 0) return null
    // `test` beside `cat` and `dog` is a split only when it holds a cat or a dog: else it is a third class
    const others = new Set(silent.map((path) => path[depth]))
    const isLike = (path: readonly string[]): boolean => others.has(path[depth + 1])
    if (foldersOnly && !paths.some((path) => saidOf(path)?.side === held && isLike(path))) return null
  }
  const halfOf = (path: readonly string[]): Half | null => {
    const side = saidOf(path)?.side ?? null
    if (side === held) return 'validation'
    return side === 'train' || (side === null && !explicit) ? 'train' : null
  }
  const named = (half: Half | null): string[] => [
    ...new Set(paths.filter((path) => halfOf(path) === half).flatMap((path) => path[depth] ?? [])),
  ]
  const others = named(null)
  return {
    depth,
    halfOf,
    saysSide: (path) => saidOf(path) !== null,
    names: { train: someOf(named('train')), validation: someOf(named('validation')) },
    leftOut: paths.some((path) => path[depth] === undefined) ? [...others, '(beside them)'] : others,
  }
}

/**
 * The split that names say: at the first depth where some say `train` and others `validation` (or failing that `test`),
 * else where some say one of those two and the others nothing (`data_batch_1`, `test_batch`).
 * @param paths parts of the paths of all things
 * @param foldersOnly whether the parts are folders, which may as well be classes
 * @returns null when the names do not say
 */
export const namedSplit = (paths: Paths, foldersOnly: boolean): NamedSplit | null => {
  const depths = paths.reduce((most, path) => Math.max(most, path.length), 0)
  for (const explicit of [true, false]) {
    for (let depth = 0; depth < depths; depth++) {
      const split = splitAt(paths, depth, { explicit, foldersOnly })
      if (split !== null) return split
    }
  }
  return null
}

/**
 * Which part of each path is its class: the first, but for folders that hold all there is (`dataset/cat`, `dataset/dog`) and
 * for names that say nothing (`train/images`). Of a few stray images beside many folders nothing is concluded.
 * @param paths the folders of each image, without what says the split
 */
export const classDepth = (paths: Paths): number => {
  const most = (count: number): boolean => 2 * count > paths.length
  for (let depth = 0; ; depth++) {
    const inside = paths.filter((path) => path.length > depth)
    if (!most(inside.length)) return depth
    const names = [...new Set(inside.map((path) => path[depth]))]
    const isWrap =
      names.length === 1 &&
      (saidBy(names[0]) !== null || most(paths.filter((p) => p.length > depth + 1).length))
    if (!isWrap && !names.every(isNeutral)) return depth
  }
}
