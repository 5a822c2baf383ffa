/** @file The names of the files of a run. */

/** Files of a run, by what they hold. */
export const runFiles = {
  /** The resolved configuration. */
  config: 'config.yaml',
  /** What the data gave. */
  info: 'run.json',
  /** What was measured of held-out images. */
  evaluation: 'evaluation.json',
  /** Distances; in a sweep this file says that the run is done. */
  quality: 'quality.json',
  /** Who measured: see runs/provenance.ts. */
  provenance: 'provenance.json',
  /** Numbers logged while training. */
  metrics: 'metrics.jsonl',
  /** Averaged weights of all networks of an exported run, in half precision, in place of checkpoints. */
  weights: 'weights.safetensors',
  report: 'report.html',
} as const
