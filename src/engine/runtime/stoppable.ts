/** @file A runtime whose programs no longer run once a signal is aborted: the one place where long work on it is ended. */
import type { Executable, Runtime } from './runtime.ts'

const stoppableExecutable = (executable: Executable, signal: AbortSignal): Executable => ({
  run: async (feeds, state) => {
    signal.throwIfAborted()
    return executable.run(feeds, state)
  },
  get traffic() {
    return executable.traffic
  },
  profile: () => executable.profile(),
  dispose: () => executable.dispose(),
})

/**
 * The same runtime for work that may be left at any moment: encoding, decoding, sampling, measuring.
 * @throws by `compile` and `run`, once the signal is aborted, its reason
 */
export const stoppable = (runtime: Runtime, signal: AbortSignal): Runtime => ({
  device: runtime.device,
  limits: runtime.limits,
  compile: async (program, options) => {
    signal.throwIfAborted()
    return stoppableExecutable(await runtime.compile(program, options), signal)
  },
  place: (tensors) => runtime.place(tensors),
})

/** Every error from the one that was caught to the one that began it. */
export const causesOf = (error: unknown): unknown[] =>
  error instanceof Error && error.cause !== undefined ? [error, ...causesOf(error.cause)] : [error]

/** Whether an error says that a signal was aborted, rather than that something failed. */
export const wasStopped = (error: unknown, signal: AbortSignal): boolean =>
  signal.aborted && causesOf(error).includes(signal.reason)
