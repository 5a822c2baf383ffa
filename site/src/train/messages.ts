/** @file What the page of training and its worker say to each other. */

import type { Choices, MetricRecord, StepEvent } from '../../../src/tab/page.ts'

/** Where it shall compute. */
export type DeviceChoice = 'auto' | 'webgpu' | 'wasm'

/** A run that this browser keeps and that does not read; it can only be deleted. */
export interface BrokenRun {
  readonly name: string
  /** One sentence. */
  readonly fault: string
}

/** A run that this browser keeps. */
export interface StoredRun {
  readonly name: string
  /** Steps saved, of all. */
  readonly step: number
  readonly steps: number
  /** Whether its pictures are a person's own. */
  readonly isOwn: boolean
  /** What it takes of the browser's storage. */
  readonly bytes: number
}

/** To the worker. */
export type Command =
  | { readonly do: 'list' }
  | {
      readonly do: 'begin'
      readonly choices: Choices
      readonly files: readonly File[]
      readonly device: DeviceChoice
    }
  | { readonly do: 'show'; readonly name: string }
  | { readonly do: 'train'; readonly name: string; readonly device: DeviceChoice }
  | { readonly do: 'pause' }
  | { readonly do: 'download'; readonly name: string }
  /** Makes a model of what is learned, for the playground. */
  | { readonly do: 'model'; readonly name: string }
  | { readonly do: 'delete'; readonly name: string }

/** From the worker. */
export type Said =
  | { readonly said: 'runs'; readonly runs: readonly (StoredRun | BrokenRun)[] }
  /** How far something long is, from 0 to 1. */
  | { readonly said: 'under way'; readonly what: string; readonly share?: number }
  /** Files that were left out, each with the reason. */
  | {
      readonly said: 'left out'
      readonly files: readonly { readonly file: string; readonly reason: string }[]
    }
  /** A run with its log so far and its newest drawing. */
  | {
      readonly said: 'run'
      readonly run: StoredRun
      readonly log: readonly MetricRecord[]
      readonly drawing: Blob | null
    }
  /** Where it computes, in sentences. */
  | { readonly said: 'device'; readonly sentences: readonly string[] }
  | { readonly said: 'step'; readonly event: StepEvent }
  | { readonly said: 'psnr'; readonly step: number; readonly psnr: number }
  | { readonly said: 'drawn'; readonly drawing: Blob }
  | { readonly said: 'note' | 'warning'; readonly text: string }
  /** Training ended: at the last step, or after a pause. */
  | { readonly said: 'ended'; readonly isFinished: boolean; readonly run: StoredRun }
  | { readonly said: 'zip'; readonly name: string; readonly zip: Blob }
  | { readonly said: 'model'; readonly name: string }
  | { readonly said: 'deleted'; readonly name: string }
  | { readonly said: 'failed'; readonly text: string }
