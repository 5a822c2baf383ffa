/** @file The pages: what `npm run build:site` made, with the token of this start in them. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { escapeMarkup } from '../report/escape.ts'
import { isWithin } from '../runs/findRuns.ts'
import { contentTypes, fileAnswer } from './files.ts'
import { Refused } from './refused.ts'

const missing = "the pages are not built; build them with 'npm run build:site' and load this again"

/** A page of the site's own, where it is not built. */
const missingPage = `<!doctype html><html lang="en"><head><title>Studio</title></head><body><p>${escapeMarkup(missing)}</p></body></html>\n`

/** The page with the token in its head. */
const withToken = (html: string, token: string): string => {
  const meta = `<meta name="studio-token" content="${escapeMarkup(token)}">`
  return /<head[^>]*>/i.test(html)
    ? html.replace(/<head[^>]*>/i, (head) => `${head}${meta}`)
    : `${meta}${html}`
}

const gone = (): never => {
  throw new Refused(404, 'there is no such page; go to the first one, /')
}

/** The pages. */
export interface Site {
  /**
   * @param path of the address, decoded, beginning with a slash
   * @param known the tag that the asker has of it
   * @throws Refused when there is no such page
   */
  answer(path: string, known: string | null): Promise<Response>
}

/** Names under which a page may lie: as it is asked for, with its ending, or as that of a folder. */
const candidates = (path: string): string[] =>
  path === '/'
    ? ['studio.html', 'studio/index.html', 'index.html']
    : [path.slice(1), `${path.slice(1)}.html`, join(path.slice(1), 'index.html')]

/** @param dir where the built site lies, or would */
export const openSite = (dir: string, token: string): Site => {
  const fileOf = (path: string): string | undefined =>
    candidates(path)
      .map((name) => join(dir, name))
      .find((file) => isWithin(file, dir) && statSync(file, { throwIfNoEntry: false })?.isFile() === true)
  return {
    answer: async (path, known) => {
      if (!existsSync(dir)) {
        if (path === '/')
          return new Response(missingPage, {
            status: 503,
            headers: { 'content-type': contentTypes['.html'] },
          })
        throw new Refused(503, missing)
      }
      const file = fileOf(path)
      const type = contentTypes[extname(file ?? '')]
      if (file === undefined || type === undefined) return gone()
      if (type === contentTypes['.html'])
        return new Response(withToken(readFileSync(file, 'utf8'), token), {
          headers: { 'content-type': type, 'cache-control': 'no-store' },
        })
      return (await fileAnswer(file, type, known)) ?? gone()
    },
  }
}
