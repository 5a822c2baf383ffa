/** @file How src/ is written: short functions of few parameters; and everywhere, types that are not talked around. */
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { filesBelow, sourceOf } from './sources.ts'

/** Longest function, in lines from its first to its last, and most parameters. */
const [mostLines, mostParameters] = [80, 6]

/** What is over the limits, with the reason. */
const longFunctions: readonly string[] = []
const manyParameters: readonly string[] = [
  'src/metrics/linearAlgebra.ts addRowPair', // the innermost loop: an object for each call would cost its speed
]

interface Found {
  readonly long: string[]
  readonly wide: string[]
  readonly casts: string[]
  readonly any: string[]
}

const nameOf = (node: ts.SignatureDeclaration): string => {
  const named = node.name ?? (ts.isVariableDeclaration(node.parent) ? node.parent.name : undefined)
  return (
    named?.getText() ??
    `a function in line ${node.getSourceFile().getLineAndCharacterOfPosition(node.pos).line + 1}`
  )
}

/** What of a source is over the limits, each with the file's name before it. */
const examine = (file: string, text: string): Found => {
  const found: Found = { long: [], wide: [], casts: [], any: [] }
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const lineAt = (position: number): number => source.getLineAndCharacterOfPosition(position).line + 1
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node)) {
      const lines = lineAt(node.end) - lineAt(node.getStart()) + 1
      if (lines > mostLines) found.long.push(`${file} ${nameOf(node)}`)
      if (node.parameters.length > mostParameters) found.wide.push(`${file} ${nameOf(node)}`)
    }
    if (ts.isAsExpression(node) && ts.isAsExpression(node.expression))
      found.casts.push(`${file} ${node.getText()}`)
    if (node.kind === ts.SyntaxKind.AnyKeyword) found.any.push(`${file} line ${lineAt(node.getStart())}`)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const folders = ['src', 'test', 'bench', 'examples', 'tools'].map((folder) => ({
  folder,
  examined: filesBelow(folder).map((file) => examine(file, sourceOf(file))),
}))
const all = (part: keyof Found): string[] => folders[0].examined.flatMap((found) => found[part])

describe('src/', () => {
  it(`has no function over ${mostLines} lines but the known ones`, () => {
    expect(all('long')).toEqual(longFunctions)
  })

  it(`has no function of more than ${mostParameters} parameters but the known ones`, () => {
    expect(all('wide')).toEqual(manyParameters)
  })
})

describe.each(folders)('$folder/', ({ examined }) => {
  it('casts by way of unknown nowhere, and uses no any', () => {
    expect(examined.flatMap(({ casts, any }) => [...casts, ...any])).toEqual([])
  })
})

describe('each of them would be found:', () => {
  const nothing: Found = { long: [], wide: [], casts: [], any: [] }
  const parameters = 'a, b, c, d, e, f, g'

  it.each<[string, string, Partial<Found>]>([
    ['a line too many', `const own = () => {\n${'x()\n'.repeat(79)}}`, { long: ['it.ts own'] }],
    ['no line too many', `const own = () => {\n${'x()\n'.repeat(78)}}`, {}],
    ['a method', `class Box {\n method(${parameters}) {} }`, { wide: ['it.ts method'] }],
    ['a type', `\ntype Wide = (${parameters}) => void`, { wide: ['it.ts a function in line 2'] }],
    ['a double cast', 'const b = a as unknown as string', { casts: ['it.ts a as unknown as string'] }],
    ['a single cast', 'const b = a as unknown', {}],
    ['any', 'const any = 1\nlet b: readonly any[]', { any: ['it.ts line 2'] }],
  ])('%s', (_, text, expected) => {
    expect(examine('it.ts', text)).toEqual({ ...nothing, ...expected })
  })
})
