/**
 * @file What the studio's server and its pages say to each other: JSON over HTTP, and server-sent events. A run is named
 * by its path below the folder of runs, with `/`, in the query (`?run=sweep/c_lf-8/seed-0`). Writing requests carry the
 * token of this start in the header `x-studio-token`; pages have it from `<meta name="studio-token">`.
 */

/** What a run is doing. A broken one has files that do not read. */
export type RunStatus = 'training' | 'stopped' | 'finished' | 'broken'

/** A run in the list. */
export interface RunRow {
  /** Path below the folder of runs. */
  readonly run: string
  readonly status: RunStatus
  /** Preset or configuration's name; empty when broken. */
  readonly name: string
  /** The stage of the last line of its log, and how far it is; null where there is no log. */
  readonly progress: { readonly stage: string; readonly step: number; readonly steps: number } | null
  /** When its log last grew, milliseconds since 1970; null where there is none. */
  readonly updated: number | null
  /** Measured figures by name: bitsPerPixel, psnr, rFD, gFD and so on, where measured. */
  readonly figures: Readonly<Record<string, number>>
  /** Why it is broken, in one sentence; null otherwise. */
  readonly fault: string | null
}

/** GET /api/runs. `differing` are the settings in which the listed runs differ: by dotted key, the value of each run as text. */
export interface RunList {
  /** The folder of runs, as it was given. */
  readonly folder: string
  readonly runs: readonly RunRow[]
  readonly differing: Readonly<Record<string, Readonly<Record<string, string>>>>
}

/** GET /api/run?run= */
export interface RunDetail {
  readonly row: RunRow
  /** The resolved configuration as YAML. */
  readonly config: string
  /** The command that trains it on. */
  readonly command: string
  /** What is logged: metric names by stage. */
  readonly metrics: Readonly<Record<string, readonly string[]>>
  /** Image grids by stage, kind (reconstructions, samples …) and step. */
  readonly images: readonly RunImage[]
  /** What the last start of a trainer printed on stderr, its end; empty where this studio did not start it. */
  readonly output: string
  /** Whole lines of its log that do not read. */
  readonly damagedLines?: number
}

/** One picture of a run. */
export interface RunImage {
  readonly kind: string
  /** The step that it was made after; null of the finished run. */
  readonly step: number | null
  /** GET, below /files. */
  readonly url: string
}

/**
 * GET /api/series?run=&stage=&metric=&from=&to=&points= : a metric over steps `from` to `to`, both included (all where left
 * out), in at most `points` parts (1000); within each the least, greatest and mean of its lines, so that no peak is lost.
 */
export interface Series {
  /** The last step of each part. */
  readonly step: readonly number[]
  readonly min: readonly number[]
  readonly max: readonly number[]
  readonly mean: readonly number[]
  /** Lines in that range of steps. */
  readonly count: number
}

/** GET /api/scatter?below= : a list of the finished runs below a folder, for rate–distortion and FLOPs–distance plots. */
export interface ScatterPoint {
  readonly run: string
  /** The settings in which these runs differ. */
  readonly settings: Readonly<Record<string, string>>
  readonly figures: Readonly<Record<string, number>>
  /** FLOPs of training the base model; null without one. */
  readonly baseFlops: number | null
}

/** GET /api/plan?below=&bitsPerPixel= or &budget= : the planner (studies/plan.ts). */
export interface PlanAnswer {
  /** The settings to give, values of --set; empty when there is no plan. */
  readonly set: readonly string[]
  readonly bitsPerPixel: number | null
  /** Bounds of the 95% interval; null without one. */
  readonly interval: readonly [number, number] | null
  /** What `ul plan` would say in text. */
  readonly text: string
}

/** A setting of the form for a new run, made from the configuration's schema. */
export interface FormField {
  /** Key with dots, as --set takes it. */
  readonly key: string
  readonly kind: 'number' | 'integer' | 'boolean' | 'choice' | 'text' | 'list'
  /** What it means, with its unit. */
  readonly description: string
  readonly choices: readonly string[]
  readonly optional: boolean
}

/** GET /api/form: fields, and each preset's value of every field as --set takes it. */
export interface Form {
  readonly fields: readonly FormField[]
  readonly presets: Readonly<Record<string, Readonly<Record<string, string>>>>
}

/** POST /api/start */
export interface StartRequest {
  readonly preset: string
  /** Values of --set, such as `decoder.lossFactor=8`. */
  readonly set: readonly string[]
  /** Path below the folder of runs. */
  readonly run: string
  /** Where it trains; on the CPU when absent. */
  readonly device?: 'cpu' | 'webgpu' | 'cuda' | undefined
}

/**
 * POST /api/check: a StartRequest's errors by key ('' for the whole, `run` and `preset` for these), without starting anything.
 */
export interface CheckAnswer {
  readonly errors: Readonly<Record<string, string>>
}

/** POST /api/stop and /api/resume, and what these and /api/start answer with status 202. */
export interface RunRequest {
  readonly run: string
  /** Of a resume: where it trains; on the CPU when absent. */
  readonly device?: 'cpu' | 'webgpu' | 'cuda' | undefined
  /** Of a stop: whether it ends at once, without saving what came since its last checkpoint. */
  readonly now?: boolean | undefined
}

/** Every answer that is no success: one sentence. */
export interface Refusal {
  readonly error: string
}

/**
 * GET /api/events (server-sent events without a name, each a StudioEvent as JSON; ids count up, `Last-Event-ID` resumes or gets
 * a `resync`).
 * - `runs`: rows that are new or have changed.
 * - `gone`: runs that vanished.
 * - `lines`: a run's log grew to `step` of `stage`; whoever shows its charts asks for the series from there.
 * - `resync`: too much was missed; ask for everything anew.
 */
export type StudioEvent =
  | { readonly event: 'runs'; readonly rows: readonly RunRow[] }
  | { readonly event: 'gone'; readonly runs: readonly string[] }
  | { readonly event: 'lines'; readonly run: string; readonly stage: string; readonly step: number }
  | { readonly event: 'resync' }
