/** @file The names that a sweep gave to a run, from where the run lies: `…/<arm>/seed-<n>[/<base>]`. */
import { type Arm, armFolder, type Sweep } from '../config/sweepFile.ts'

/** A run's arm and base model; null where its path is not one that sweeps make. */
export interface SweepNames {
  readonly arm: string | null
  readonly base: string | null
  /** Place among the sweep's runs; what the sweep does not know comes first. */
  readonly place: number
}

/** @param sweep what made the run; without it, names are those of folders */
export const sweepNames = (path: string, sweep: Pick<Sweep, 'arms' | 'bases'> | null): SweepNames => {
  const { arms, bases } = sweep ?? { arms: [], bases: [] }
  const [, armPart, basePart] = path.match(/([^/\\]+)[/\\]seed-\d+(?:[/\\]([^/\\]+))?$/) ?? []
  const among = (
    known: readonly Arm[],
    folder: string | undefined,
  ): { readonly name: string | null; readonly at: number } => {
    const at = known.findIndex(({ name }) => armFolder(name) === (folder ?? ''))
    return { name: known[at]?.name ?? folder ?? null, at }
  }
  const [arm, base] = [among(arms, armPart), among(bases, basePart)]
  return { arm: arm.name, base: base.name, place: arm.at * (1 + bases.length) + base.at }
}
