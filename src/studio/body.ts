/** @file The JSON of a writing request, within bounds. */
import { z } from 'zod'
import type { RunRequest, StartRequest } from './api.ts'
import { Refused } from './refused.ts'
import { devices } from './trainers.ts'

/** Bytes of a body at most: a few hundred settings. */
export const longestBody: number = 2 ** 16

const run = z.string().min(1)
const device = z.enum(devices).optional()

/** What requests hold; anything else is refused. */
export const bodies: {
  readonly start: z.ZodType<StartRequest>
  readonly run: z.ZodType<RunRequest>
} = {
  start: z.strictObject({ preset: z.string(), set: z.array(z.string()).max(500), run: z.string(), device }),
  run: z.strictObject({ run, device, now: z.boolean().optional() }),
}

const bytesOf = async (request: Request): Promise<Uint8Array> => {
  const tooLong = (): Refused =>
    new Refused(413, `the body has more than ${longestBody} bytes, which no request needs; send less`)
  if (Number(request.headers.get('content-length') ?? 0) > longestBody) throw tooLong()
  const pieces: Uint8Array[] = []
  let length = 0
  try {
    for await (const piece of request.body ?? []) {
      length += piece.length
      if (length > longestBody) throw tooLong()
      pieces.push(piece)
    }
  } catch (cause) {
    throw cause instanceof Refused ? cause : new Refused(400, 'the body broke off; send it again', { cause })
  }
  return Buffer.concat(pieces)
}

/** The body of a request. @throws Refused when it is too long, no JSON, or something else than it should be */
export const bodyOf = async <T>(request: Request, schema: z.ZodType<T>): Promise<T> => {
  const bytes = await bytesOf(request)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new Refused(400, 'the body is no JSON; correct it', { cause })
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new Refused(400, `the body: '${issue?.path.join('.')}': ${issue?.message}; correct it`)
}
