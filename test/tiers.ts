/**
 * @file Which tests are slow, by kind and not by the clock: a test is slow when it, or a helper of tests that it
 * imports, trains a run or starts a process, which may need the build. All others are fast. No test is listed by hand,
 * so none can be in the wrong tier.
 */
import { type Imports, importsBelow, reachedFrom } from './sources.ts'

/** Modules that train; the tests of parts of them that do not are fast, as those parts have files of their own. */
export const training: ReadonlySet<string> = new Set([
  'src/stages/train.ts',
  'src/stages/profile.ts',
  'src/stages/singleStep.ts',
  'src/studies/sweep.ts',
  'examples/fashionClassifier.ts',
  'examples/toy2d.ts',
])
/** Starts GNU tar for a moment and nothing else. */
const startsTar = 'test/data/golden.ts'

/** Packages that start processes. */
const starters = ['node:child_process', 'playwright-core']

const isSlow = (file: string, { own, packages }: Imports): boolean =>
  own.some((name) => training.has(name)) ||
  (packages.some((name) => starters.includes(name)) && file !== startsTar)

/** Test files that are slow, as paths from the root of the repository. */
export const slowTests = (): string[] => {
  // Only files below test/ are followed: what src/ could do is not what a test makes it do.
  const imports = importsBelow('test')
  const slow = new Set([...imports].filter(([file, own]) => isSlow(file, own)).map(([file]) => file))
  return [...imports.keys()].filter(
    (file) => file.endsWith('.test.ts') && [...reachedFrom(imports, [file])].some((name) => slow.has(name)),
  )
}
