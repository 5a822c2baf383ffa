/** @file From a preset or YAML text and `--set` changes to a checked configuration, with errors in one sentence. */
import { Document, isMap, isPair, isScalar, LineCounter, parseDocument, stringify, visit } from 'yaml'
import type { z } from 'zod'
import { presets } from './presets.ts'
import {
  type Config,
  checkConfig,
  configDescriptions,
  configKeys,
  configVersion,
  textKeys,
} from './schema.ts'

/** A problem with a configuration, in one sentence. */
export class ConfigError extends Error {}

/** Levenshtein distance. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]
}

/** Characters of names that are compared: the distance takes time by the length of both. */
const longestName = 200

/**
 * The candidate closest to a name by edit distance, undefined when none is close; a candidate's last part also counts,
 * so `lossfactor` finds `decoder.lossFactor`.
 */
export const nearest = (name: string, candidates: readonly string[]): string | undefined => {
  if (name.length > longestName) return undefined
  const lower = name.toLowerCase()
  const score = (c: string): number => {
    const whole = distance(lower, c.toLowerCase())
    const last = distance(lower.split('.').at(-1)!, c.toLowerCase().split('.').at(-1)!) + 0.5
    return Math.min(whole, last)
  }
  const [first] = [...candidates].sort((a, b) => score(a) - score(b))
  return first !== undefined && score(first) <= Math.max(2, 0.4 * name.length) ? first : undefined
}

const nearestKey = (name: string): string => {
  const key = nearest(name, configKeys())
  return key === undefined
    ? `'ul train quickstart --dry-run' prints all keys`
    : `the nearest valid key is '${key}'`
}

/** The first line of a text, cut where it is long: files that are not what they should be end up in messages. */
export const firstLine = (text: string): string => {
  const [line = ''] = text.split('\n')
  return line.length > 100 ? `${line.slice(0, 99)}…` : line
}

type Tree = { [key: string]: unknown }
const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A key such as `__proto__` stays a key, so that the schema refuses it like any other. */
const merge = (under: Tree, over: Tree): Tree => {
  const result = new Map(Object.entries(under))
  for (const [key, value] of Object.entries(over)) {
    const below = result.get(key)
    result.set(key, isTree(below) && isTree(value) ? merge(below, value) : value)
  }
  return Object.fromEntries(result)
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

/** Turns zod's first issue into a sentence; `place` finds where a path stands in the file. */
const explain = (error: z.ZodError, place: (path: readonly PropertyKey[]) => string): ConfigError => {
  const issue = error.issues[0]
  if (issue.code === 'unrecognized_keys') {
    const key = [...issue.path, issue.keys[0]].join('.')
    const where = place([...issue.path, issue.keys[0]])
    return new ConfigError(`${where}unknown key '${key}'; ${nearestKey(key)}`)
  }
  const message = lowerFirst(issue.message)
  if (issue.code === 'invalid_type' && textKeys.has(issue.path.join('.'))) {
    return new ConfigError(`${place(issue.path)}'${issue.path.join('.')}': ${message}; put it in quotes`)
  }
  return new ConfigError(`${place(issue.path)}'${issue.path.join('.')}': ${message}; correct that value`)
}

const checkVersion = (tree: Tree, name: string): void => {
  const version = tree.version ?? configVersion
  if (version !== configVersion) {
    throw new ConfigError(
      `${name}: this configuration has version ${String(version)}, this program reads version ${configVersion}; ` +
        `rewrite it with 'ul train <preset> --dry-run' as the model`,
    )
  }
}

const validate = (tree: Tree, place: (path: readonly PropertyKey[]) => string): Config => {
  const result = checkConfig(tree)
  if (!result.success) throw explain(result.error, place)
  return result.data
}

/** What the YAML library finds, in our words by its codes; its own name the inside of the library. */
const yamlFaults: Readonly<Record<string, string>> = {
  ALIAS_PROPS: 'an alias (*) has more than its name',
  BAD_ALIAS: 'an alias (*) without a name',
  BAD_INDENT: 'lines that are indented otherwise than those they belong to',
  BLOCK_AS_IMPLICIT_KEY: 'a mapping where a key should be',
  BLOCK_IN_FLOW: 'indented lines within brackets',
  DUPLICATE_KEY: 'a key for the second time',
  KEY_OVER_1024_CHARS: 'a key of more than 1,024 characters',
  MISSING_CHAR: 'something that lacks a quote, a bracket, a comma or a space',
  MULTILINE_IMPLICIT_KEY: 'a key over several lines',
  MULTIPLE_ANCHORS: 'two anchors (&) on one value',
  MULTIPLE_DOCS: 'a second document (---)',
  MULTIPLE_TAGS: 'two tags (!) on one value',
  TAB_AS_INDENT: 'a tab as indentation, where spaces belong',
  TAG_RESOLVE_FAILED: 'a tag (!) that is not known',
  UNEXPECTED_TOKEN: 'something that does not belong there',
}

/** Longest YAML that is read, in characters; a configuration has a few thousand. */
const longestYaml = 2 ** 20
/** Brackets within brackets, and dashes one after the other, at most: the library goes as deep as the text does. */
const deepest = 100

/** Whether values lie deeper within each other than in any configuration; told before they are parsed. */
const isDeep = (text: string): boolean => {
  let depth = 0
  for (const c of text) {
    if (c === '[' || c === '{') depth++
    else if (c === ']' || c === '}') depth = Math.max(0, depth - 1)
    if (depth > deepest) return true
  }
  return /(?:[-?:][ \t]+){100}/.test(text) || /^[ \t]{1000}/m.test(text)
}

/**
 * Reads YAML text as plain values.
 * @param where before the reason: the file, or what was typed
 * @param lines tells line and column of what is refused
 * @throws ConfigError
 */
const readYaml = (text: string, where: string, lines?: LineCounter) => {
  const refuse = (found: string, at: string, cause?: unknown): never => {
    throw new ConfigError(`${where}${at}: this is not YAML: found ${found}; correct that place`, { cause })
  }
  if (text.length > longestYaml) {
    throw new ConfigError(
      `${where}: this has ${text.length} characters, more than the ${longestYaml} of any configuration; give a file of YAML`,
    )
  }
  if (isDeep(text)) refuse('values that are nested too deep', '')
  try {
    const document = parseDocument(text, {
      logLevel: 'silent',
      ...(lines === undefined ? {} : { lineCounter: lines }),
    })
    const [fault] = document.errors
    if (fault !== undefined) {
      const { line, col } = lines?.linePos(fault.pos[0]) ?? {}
      const found = yamlFaults[fault.code] ?? 'something that cannot be read'
      refuse(found, line === undefined ? '' : `:${line}:${col}`, fault)
    }
    const tree: unknown = document.toJS()
    return { document, tree }
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    // Aliases that multiply or lead nowhere.
    return refuse('aliases (*) without anchors, or by the hundred', '', cause)
  }
}

/** Values of YAML text. @throws ConfigError */
export const yamlValues = (text: string, where: string, lines?: LineCounter): unknown =>
  readYaml(text, where, lines).tree

/** Whether a file is a whole configuration, as runs keep theirs: nothing of it is filled in, or a preset that changes would change it. */
const isWhole = (tree: Tree): boolean => Object.hasOwn(tree, 'version') && !Object.hasOwn(tree, 'preset')

/** The configuration of YAML text, and whether the text is whole. @throws see parseConfig */
const parseWhole = (text: string, name: string): { readonly config: Config; readonly isWhole: boolean } => {
  const lines = new LineCounter()
  const { document, tree } = readYaml(text, name, lines)
  const place = (path: readonly PropertyKey[]): string => {
    for (let depth = path.length; depth > 0; depth--) {
      const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true)
      const pair = isMap(parent)
        ? parent.items.find(
            (item) => String((item.key as { value?: unknown }).value) === String(path[depth - 1]),
          )
        : undefined
      const range = (pair?.key as { range?: [number, number, number] } | undefined)?.range
      if (range) {
        const { line, col } = lines.linePos(range[0])
        return `${name}:${line}:${col}: `
      }
    }
    return `${name}: `
  }
  if (!isTree(tree)) {
    const found =
      tree === null
        ? 'nothing'
        : Array.isArray(tree)
          ? 'a list'
          : `the ${typeof tree} ${firstLine(String(tree))}`
    throw new ConfigError(`${name}: expected a mapping of keys such as 'data:', found ${found}`)
  }
  if (Object.hasOwn(tree, 'arms')) {
    throw new ConfigError(`${name}: this is a sweep, with arms; give it to 'ul sweep', without --grid`)
  }
  checkVersion(tree, name)
  if (isWhole(tree)) return { config: validate(tree, place), isWhole: true }
  const { preset: presetName = 'quickstart', ...changes } = tree
  const config = validate(merge({ ...presetByName(String(presetName)) }, changes), place)
  return { config, isWhole: false }
}

/**
 * Reads YAML text. A key `preset` names the preset that the rest changes (quickstart when absent). What has a `version` and names
 * no preset is whole: a key that it lacks is an error, unless it is younger than the file may be.
 * @param name the file's name, for error messages
 * @throws ConfigError with file, line and column.
 */
export const parseConfig = (text: string, name: string): Config => parseWhole(text, name).config

/**
 * Reads the configuration that a run keeps. It was written whole, so that nothing is ever filled in.
 * @throws ConfigError with file, line and column; also when the text was cut short
 */
export const parseRunConfig = (text: string, name: string): Config => {
  const wrong = (what: string): ConfigError =>
    new ConfigError(
      `${name}: ${what}; restore it, or remove it and run the same 'ul train' again, which writes it anew`,
    )
  // What is cut within the last line may still be YAML: 'steps: 2300' as 'steps: 23'.
  if (!text.endsWith('\n')) throw wrong('it is cut short, its last line has no end')
  const { config, isWhole } = parseWhole(text, name)
  if (!isWhole) throw wrong("it lacks 'version', with which a run's configuration begins")
  return config
}

/** A preset by name. @throws ConfigError naming the nearest one. */
export const presetByName = (name: string): Config => {
  if (!Object.hasOwn(presets, name)) {
    const known = Object.keys(presets)
    const close = nearest(name, known)
    const hint = close === undefined ? 'presets are' : `the nearest preset is '${close}' of`
    throw new ConfigError(`there is no preset or file called '${name}'; ${hint} ${known.join(', ')}`)
  }
  return presets[name]
}

/** A text as it stands, or without the quotes around it; `null` and nothing at all are none. */
const readTextValue = (text: string): string | null => {
  if (text === 'null' || text === '') return null
  try {
    return /^(".*"|'.*')$/s.test(text) ? String(yamlValues(text, '')) : text
  } catch {
    return text
  }
}

const readValue = (setting: string, key: string, text: string): unknown => {
  if (textKeys.has(key)) return readTextValue(text)
  return yamlValues(text, `--set ${setting}`)
}

/** The key of a `key=value` change, and its value as a tree. @throws ConfigError */
const changeOf = (setting: string): { readonly key: string; readonly change: Tree } => {
  const equals = setting.indexOf('=')
  if (equals < 1) throw new ConfigError(`--set ${setting}: expected key=value, for example train.batch=16`)
  const key = setting.slice(0, equals)
  if (!configKeys().includes(key)) {
    throw new ConfigError(`--set ${setting}: unknown key '${key}'; ${nearestKey(key)}`)
  }
  const value = readValue(setting, key, setting.slice(equals + 1))
  return {
    key,
    change: key.split('.').reduceRight<unknown>((below, part) => ({ [part]: below }), value) as Tree,
  }
}

/**
 * Applies `key=value` changes; values are read as YAML, so `1e-4`, `true` and `[1, 2]` mean what they say, but for names and
 * paths, which are taken as they stand.
 * @throws ConfigError naming the key and the nearest valid one.
 */
export const applySettings = (config: Config, settings: readonly string[]): Config => {
  if (settings.length === 0) return config
  const keys = new Map<string, string>()
  let result: Tree = { ...config }
  for (const setting of settings) {
    const { key, change } = changeOf(setting)
    keys.set(key, setting)
    result = merge(result, change)
  }
  // Checked once all are there: a group of keys is whole only then.
  return validate(result, (path) => `--set ${settingOf(keys, path)}: `)
}

/** What is wrong with `key=value` changes, by key, each in words; empty where they make a configuration. */
export const settingErrors = (
  config: Config,
  settings: readonly string[],
): Readonly<Record<string, string>> => {
  const errors = new Map<string, string>()
  let result: Tree = { ...config }
  for (const setting of settings) {
    try {
      result = merge(result, changeOf(setting).change)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      errors.set(setting.split('=', 1)[0], error.message)
    }
  }
  for (const { path, message } of checkConfig(result).error?.issues ?? [])
    if (!errors.has(path.join('.'))) errors.set(path.join('.'), lowerFirst(message))
  return Object.fromEntries(errors)
}

/** The setting that is to blame for what is wrong at a path: of that key, of one above or below it, or of its group. */
const settingOf = (keys: ReadonlyMap<string, string>, path: readonly PropertyKey[]): string => {
  const at = path.join('.')
  const isNear = (key: string): boolean => at.startsWith(`${key}.`) || key.startsWith(`${at}.`)
  const [group] = at.split('.')
  const near = [...keys].reverse()
  const found =
    near.find(([key]) => key === at) ??
    near.find(([key]) => isNear(key)) ??
    near.find(([key]) => key.startsWith(`${group}.`))
  return (found ?? near[0])[1]
}

/** The configuration as YAML, as it is written to a run directory. */
export const showConfig = (config: Config): string => stringify(config, { flowCollectionPadding: false })

/** The same with what each key is, as comments: a file to start from. */
export const explainConfig = (config: Config): string => {
  const { source, path = null, ...data } = config.data
  const document = new Document({ ...config, data: { source, path, ...data } })
  visit(document, {
    Pair: (_, { key, value }, ancestors) => {
      const above = ancestors.flatMap((node) => (isPair(node) ? [String(node.key)] : []))
      const text = configDescriptions.get([...above, String(key)].join('.'))
      if (text === undefined) return
      if (isScalar(value)) value.comment = ` ${text}`
      else if (isScalar(key)) key.commentBefore = ` ${text}`
    },
  })
  return document.toString({ flowCollectionPadding: false, lineWidth: 0 })
}
