/** @file The TypeScript files of this repository and what they import: for the tests of its structure and for its tiers of tests. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What a file imports or re-exports, types and import() included. */
export interface Imports {
  /** Files by relative specifiers, as paths from the root of the repository. */
  readonly own: readonly string[]
  /** Everything else, by its specifier: `sharp`, `node:fs`. */
  readonly packages: readonly string[]
}

const slashed = (path: string): string => path.replaceAll('\\', '/')

/** Text of a file of the repository. */
export const sourceOf = (file: string): string => readFileSync(resolve(root, file), 'utf8')

/** TypeScript files below a folder of the repository, as paths from its root, sorted; none where there is no such folder. */
export const filesBelow = (folder: string): string[] => {
  const at = resolve(root, folder)
  if (!existsSync(at)) return []
  const names = readdirSync(at, { recursive: true, encoding: 'utf8' })
  return names
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${slashed(name)}`)
    .sort()
}

const importsOf = (file: string): Imports => {
  const names = ts.preProcessFile(sourceOf(file)).importedFiles.map(({ fileName }) => fileName)
  const isOwn = (name: string): boolean => name.startsWith('.')
  const folder = dirname(resolve(root, file))
  return {
    own: names.filter(isOwn).map((name) => slashed(relative(root, resolve(folder, name)))),
    packages: names.filter((name) => !isOwn(name)),
  }
}

/** Every TypeScript file below the given folders with its imports. */
export const importsBelow = (...folders: readonly string[]): ReadonlyMap<string, Imports> =>
  new Map(folders.flatMap(filesBelow).map((file) => [file, importsOf(file)]))

/** What a file loads as it is loaded itself: neither types nor what it imports when it needs it. */
const loadsOf = (file: string): readonly string[] =>
  ts
    .createSourceFile(file, sourceOf(file), ts.ScriptTarget.ES2023)
    .statements.flatMap((statement) =>
      (ts.isImportDeclaration(statement) &&
        statement.importClause?.phaseModifier !== ts.SyntaxKind.TypeKeyword) ||
      (ts.isExportDeclaration(statement) && !statement.isTypeOnly)
        ? [statement.moduleSpecifier]
        : [],
    )
    .flatMap((name) => (name !== undefined && ts.isStringLiteral(name) ? [name.text] : []))

/** Every file and package that a process has loaded once it has loaded a file. */
export const loadedWith = (start: string): ReadonlySet<string> => {
  const seen = new Set([start])
  for (const file of seen) {
    if (!file.endsWith('.ts')) continue
    const folder = dirname(resolve(root, file))
    for (const name of loadsOf(file))
      seen.add(name.startsWith('.') ? slashed(relative(root, resolve(folder, name))) : name)
  }
  return seen
}

/** Everything that files reach through imports that `follow` holds, themselves included. */
export const reachedFrom = (
  imports: ReadonlyMap<string, Imports>,
  start: Iterable<string>,
): ReadonlySet<string> => {
  const seen = new Set(start)
  for (const file of seen) for (const next of imports.get(file)?.own ?? []) seen.add(next)
  return seen
}
