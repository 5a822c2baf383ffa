/** @file What a run keeps of who measured it: provenance.json. */

/** Where figures come from; null where that is not known. */
export interface Provenance {
  /** Commit of the code, or a range of commits as git writes it. */
  readonly commit: string | null
  /** Version of the package. */
  readonly version: string | null
  /** Date and time, or an interval of dates, by ISO 8601. */
  readonly date: string | null
  readonly machine: { readonly cpu: string; readonly device: string } | null
}

/** By the file that it is about. */
export interface Provenances {
  readonly evaluation?: Provenance
  readonly quality?: Provenance
}
