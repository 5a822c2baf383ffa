/** @file A model from the Hub: its files, each checked against what the Hub says of it, in a folder that is there whole or not at all. */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import type { ListFileEntry } from '@huggingface/hub'
import { z } from 'zod'
import { ConfigError } from '../config/load.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { writeFileAtomic, writeFileInParts } from '../files/atomic.ts'
import { writeFolder } from '../files/folder.ts'
import { writePieces } from '../files/pieces.ts'
import { partsOfVariant } from '../method/variants.ts'
import { readChecked } from '../runs/checked.ts'
import { readRunConfig } from '../runs/runDirectory.ts'
import { openRun } from '../use/openRun.ts'
import { type Asked, asking, type Hub } from './client.ts'
import { isModelFile, isSafePath, neededFiles } from './names.ts'

/** What to pull. */
export interface PullOptions {
  /** owner/name */
  readonly model: string
  /** A branch, a tag or a commit. */
  readonly revision: string
  readonly out: string
  /** Told of every file before it comes. */
  readonly listen?: (path: string, bytes: number) => void
}

/** What was pulled. */
export interface Pulled {
  readonly path: string
  readonly commit: string
  readonly files: readonly string[]
  /** Files there that no model of ul has, which stayed there. */
  readonly left: readonly string[]
  readonly bytes: number
}

/** Remembers in the folder where its files are from, and as what they came. */
const originFile = 'pulled.json'
const originSchema = z.object({
  model: z.string(),
  revision: z.string(),
  commit: z.string(),
  /** SHA-256 of every file. */
  files: z.record(z.string(), z.string()),
})

/** A file there, and what its bytes must come to. */
interface Wanted {
  readonly path: string
  readonly bytes: number
  readonly algorithm: 'sha1' | 'sha256'
  readonly digest: string
}

/** Files of a model at most: more are not listed to the end. */
const mostFiles = 10_000

/** Tries of a file that breaks off; each goes on where the last one stopped. */
const tries = 3

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))

const digestOf = async (file: string): Promise<string> => {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** @throws ConfigError unless a folder is an earlier pull of the same model in which nothing has changed */
const expectEarlierPull = async (path: string, model: string): Promise<void> => {
  const remedy = `give another --out, or remove it`
  const isFolder = statSync(path).isDirectory()
  if (!isFolder || !filesBelow(path).includes(originFile))
    throw new ConfigError(`${path}: it holds something else than what 'ul pull' wrote; ${remedy}`)
  const origin = readChecked(originSchema, join(path, originFile), remedy)
  if (origin.model !== model) throw new ConfigError(`${path}: it holds ${origin.model}; ${remedy}`)
  for (const name of filesBelow(path)) {
    if (name === originFile) continue
    if (!Object.hasOwn(origin.files, name) || (await digestOf(join(path, name))) !== origin.files[name])
      throw new ConfigError(`${path}: ${name} is not what was pulled, and would be lost; ${remedy}`)
  }
}

/** What a file of a listing must be. @throws when the listing has no checksum of it */
const wantedOf = ({ path, size, oid, lfs }: ListFileEntry, model: string): Wanted => {
  const [algorithm, digest] =
    lfs === undefined ? (['sha1', oid ?? ''] as const) : (['sha256', lfs.oid] as const)
  const isHash = new RegExp(algorithm === 'sha1' ? '^[0-9a-f]{40}$' : '^[0-9a-f]{64}$').test(digest)
  if (!isHash || !Number.isSafeInteger(size) || size < 0)
    throw new Error(`${model}: the Hub says neither size nor checksum of ${path}; nothing was written`)
  return { path, bytes: size, algorithm, digest }
}

/** Everything that a revision of a model holds. @throws when a name there would leave the folder */
const listed = async (
  { library, access }: Hub,
  { model, revision }: PullOptions,
): Promise<{
  readonly commit: string
  readonly wanted: readonly Wanted[]
  readonly left: readonly string[]
}> => {
  const { sha: commit } = await library.modelInfo({
    name: model,
    revision,
    additionalFields: ['sha'],
    ...access,
  })
  if (!/^[0-9a-f]{40}$/.test(commit))
    throw new Error(`${model}: the Hub names no commit of ${JSON.stringify(revision)}; nothing was written`)
  const entries: ListFileEntry[] = []
  // Of that commit, so that a push meanwhile does not mix two.
  for await (const entry of library.listFiles({
    repo: model,
    recursive: true,
    revision: commit,
    ...access,
  })) {
    if (entry.type === 'file') entries.push(entry)
    if (entries.length > mostFiles)
      throw new Error(
        `${model}: it holds more than ${mostFiles} files, so it is no model of ul; nothing was written`,
      )
  }
  const paths = entries.map(({ path }) => path)
  const unsafe = paths.find((path) => typeof path !== 'string' || !isSafePath(path))
  if (unsafe !== undefined)
    throw new Error(
      `${model}: it has a file called ${JSON.stringify(unsafe)}, which would not stay in its folder; nothing was written`,
    )
  const missing = neededFiles.find((name) => !paths.includes(name))
  if (missing !== undefined || new Set(paths).size < paths.length)
    throw new Error(
      `${model}: there is ${missing === undefined ? 'a file twice' : `no ${missing}`}, so it is no model that 'ul push' wrote; nothing was written`,
    )
  return {
    commit,
    wanted: entries.filter(({ path }) => isModelFile(path)).map((entry) => wantedOf(entry, model)),
    left: paths.filter((path) => !isModelFile(path) && path !== '.gitattributes'),
  }
}

/** Hashes as the Hub does: Git's blobs with a header. */
const hashOf = ({ algorithm, bytes }: Wanted): Hash => {
  const hash = createHash(algorithm)
  return algorithm === 'sha1' ? hash.update(`blob ${bytes}\0`) : hash
}

/** Whether a connection broke off: fetch throws such errors, and the library passes on their text. */
const brokeOff = (cause: unknown): boolean => typeof cause === 'string' || cause instanceof TypeError

/** Writes a file as it comes, and returns the SHA-256 of its bytes. @throws when it is not what the Hub said */
const download = async (
  { library, access }: Hub,
  { model, commit, folder }: { readonly model: string; readonly commit: string; readonly folder: string },
  wanted: Wanted,
): Promise<string> => {
  const { path, bytes, digest } = wanted
  const wrong = (what: string): Error =>
    new Error(`${model}: ${path} is not what the Hub says it is (${what}); nothing was kept, pull again`)
  const file = join(folder, ...path.split('/'))
  const [hash, own] = [hashOf(wanted), createHash('sha256')]
  mkdirSync(dirname(file), { recursive: true })
  await writeFileInParts(file, async (fd) => {
    let [done, broken]: [number, unknown] = [0, undefined]
    for (let attempt = 0; done < bytes && attempt < tries; attempt++) {
      try {
        const blob = await library.downloadFile({
          repo: model,
          path,
          revision: commit,
          xet: false,
          ...access,
        })
        if (blob?.size !== bytes) throw wrong(`${blob?.size ?? 'no'} bytes for ${bytes}`)
        const rest = done === 0 ? blob : blob.slice(done, bytes)
        for await (const chunk of rest.stream()) {
          done += chunk.length
          if (done > bytes) throw wrong(`more than ${bytes} bytes`)
          hash.update(chunk)
          own.update(chunk)
          writePieces(fd, [chunk])
        }
      } catch (cause) {
        if (!brokeOff(cause)) throw cause
        broken = cause
      }
    }
    if (done < bytes) throw broken ?? wrong(`${done} bytes for ${bytes}`)
  })
  if (hash.digest('hex') !== digest) throw wrong('its checksum differs')
  return own.digest('hex')
}

/** @throws one sentence when what was downloaded is no model that opens, or names places outside of its folder */
const expectOpens = (folder: string, model: string, runtime: Runtime): void => {
  try {
    // First of all: opening a run reads the run that it names there.
    if (readRunConfig(folder).train.stage1.from !== null)
      throw new Error('its stage 1 is of another run (train.stage1.from)')
    const run = openRun(folder, runtime)
    if (partsOfVariant(run.model.variant).space.isLearned) run.autoencoder()
    if (run.hasBase) run.base()
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${model}: what it holds does not open: ${message.replaceAll(folder, model)}`, { cause })
  }
}

/**
 * Pulls a model.
 * @throws one sentence when the Hub refuses or cannot be reached, when anything is not what it says, when names would leave the
 *   folder; ConfigError when `out` holds something else. Nothing is left in any of these cases.
 */
export const pull = (hub: Hub, runtime: Runtime, options: PullOptions): Promise<Pulled> => {
  const { model, revision, out, listen } = options
  const asked: Asked = { model, revision }
  return writeFolder(
    out,
    async (folder) => {
      const { commit, wanted, left } = await asking(hub, asked, () => listed(hub, options))
      const digests: Record<string, string> = {}
      for (const file of wanted) {
        listen?.(file.path, file.bytes)
        digests[file.path] = await asking(hub, asked, () => download(hub, { model, commit, folder }, file))
      }
      expectOpens(folder, model, runtime)
      const origin: z.infer<typeof originSchema> = { model, revision, commit, files: digests }
      writeFileAtomic(join(folder, originFile), `${JSON.stringify(origin, null, 2)}\n`)
      const bytes = wanted.reduce((sum, file) => sum + file.bytes, 0)
      return { path: out, commit, files: wanted.map(({ path }) => path), left, bytes }
    },
    (path) => expectEarlierPull(path, model),
  )
}
