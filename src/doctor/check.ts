/** @file What a check of the machine is, and what it finds. */

/** What was found of one thing. */
export interface Finding {
  /** What it is of, such as "webgpu". */
  readonly about: string
  /** `absent`: not there, and not needed for anything else; `fault`: there, and does not work. */
  readonly state: 'ok' | 'absent' | 'fault'
  /** What was found, in a sentence without its end. */
  readonly text: string
  /** What to do about it. */
  readonly remedy?: string | undefined
  /** The same for programs. */
  readonly facts?: Readonly<Record<string, unknown>> | undefined
}

/** One thing that is looked at. All of them are in list.ts. */
export interface Check {
  readonly name: string
  /** Never throws for what the machine lacks. */
  run(): Promise<readonly Finding[]> | readonly Finding[]
}
