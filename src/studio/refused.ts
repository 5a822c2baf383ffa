/** @file A request that is not granted. */

/** Statuses of answers that refuse. */
export type RefusalStatus = 400 | 401 | 403 | 404 | 405 | 409 | 413 | 415 | 422 | 429 | 431 | 503

/** Thrown where a request is refused: the answer's status, and one sentence that goes into it. */
export class Refused extends Error {
  readonly status: RefusalStatus
  constructor(status: RefusalStatus, sentence: string, options?: ErrorOptions) {
    super(sentence, options)
    this.status = status
  }
}
