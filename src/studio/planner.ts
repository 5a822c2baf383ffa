/**
 * @file What is told of finished runs by models: FLOPs and the law of the rate. `ul runs` and `ul plan` tell it, each in a process
 * of its own, and what they said is kept while the runs are the same, so that the planner answers at once as a slider moves.
 */
import { join } from 'node:path'
import type { Plan } from '../studies/plan.ts'
import { plannedRate } from '../studies/plannedRate.ts'
import { planText } from '../studies/planText.ts'
import type { PlanAnswer, RunRow, ScatterPoint } from './api.ts'
import type { Commands } from './children.ts'
import type { RunsFolder } from './folder.ts'
import { Refused } from './refused.ts'
import { differingSettings, type Watch } from './watch.ts'

/** What is planned. */
export interface PlanWish {
  readonly bitsPerPixel?: number | undefined
  readonly budget?: number | undefined
}

/** Tells of the runs below a folder. */
export interface Planner {
  /** @param below a name as of a run; empty for all @throws Refused with the planner's own sentence */
  plan(below: string, wish: PlanWish): Promise<PlanAnswer>
  scatter(below: string): Promise<ScatterPoint[]>
}

/** Answers that are kept at most. */
const mostKept = 32

/** A line of `ul runs --json --flops`. */
interface FlopsLine {
  readonly event: string
  readonly run: string
  readonly baseFlops: number | null
}

const isBelow = (run: string, below: string): boolean =>
  below === '' || run === below || run.startsWith(`${below}/`)

/** The answer in the terms of the contract. */
const answerOf = (plan: Plan): PlanAnswer => {
  const rate = plan.plan?.rate ?? null
  const { low = null, high = null } = rate ?? {}
  return {
    set: plan.plan?.set ?? [],
    bitsPerPixel: plan.plan?.rate.bitsPerPixel ?? null,
    interval: low === null || high === null ? null : [low, high],
    text: planText(plan),
  }
}

export const createPlanner = (folder: RunsFolder, watch: Watch, commands: Commands): Planner => {
  const kept = new Map<string, Promise<unknown[]>>()

  /** The JSON lines of a command about the runs below a folder, asked for anew when one of them has changed. */
  const linesOf = (below: string, rows: readonly RunRow[], args: readonly string[]): Promise<unknown[]> => {
    const seen = rows.map(({ run, figures, fault, name }) => [run, name, figures, fault])
    const key = JSON.stringify([below, args, seen])
    const known = kept.get(key)
    if (known !== undefined) return known
    const answer = commands
      .run([args[0], folder.below(below), ...args.slice(1), '--json'])
      .then((finished) => {
        if (finished.code !== 0)
          throw new Refused(422, finished.sentence || 'ul ended without a word; try again')
        return finished.stdout
          .split('\n')
          .flatMap((line): unknown[] => (line === '' ? [] : [JSON.parse(line)]))
      })
    kept.set(key, answer)
    answer.catch(() => kept.delete(key))
    for (const oldest of kept.keys()) if (kept.size > mostKept) kept.delete(oldest)
    return answer
  }

  /** The rows below a folder. @throws Refused when there is no such folder */
  const rowsBelow = async (below: string): Promise<RunRow[]> => {
    folder.below(below)
    await watch.look()
    return watch.list().runs.filter(({ run }) => isBelow(run, below))
  }

  const planOf = async (below: string, args: readonly string[]): Promise<Plan> => {
    const [plan] = await linesOf(below, await rowsBelow(below), ['plan', ...args])
    return plan as Plan
  }

  return {
    plan: async (below, { bitsPerPixel, budget }) => {
      if (budget !== undefined) return answerOf(await planOf(below, ['--budget', String(budget)]))
      const plan = await planOf(below, [])
      if (bitsPerPixel === undefined) return answerOf(plan)
      try {
        return answerOf({ ...plan, plan: plannedRate(plan.law, bitsPerPixel) })
      } catch (cause) {
        throw new Refused(422, (cause as Error).message, { cause })
      }
    },
    scatter: async (below) => {
      const rows = (await rowsBelow(below)).filter(({ status }) => status === 'finished')
      if (rows.length === 0) return []
      const lines = (await linesOf(below, rows, ['runs', '--flops'])) as FlopsLine[]
      const flops = new Map(lines.map(({ run, baseFlops }) => [run, baseFlops]))
      const differing = differingSettings(rows.map(({ run }) => [run, watch.settings(run)]))
      return rows.map(({ run, figures }) => ({
        run,
        settings: Object.fromEntries(
          Object.entries(differing).flatMap(([key, values]) => (run in values ? [[key, values[run]]] : [])),
        ),
        figures,
        baseFlops: flops.get(join(folder.root, run)) ?? null,
      }))
    },
  }
}
