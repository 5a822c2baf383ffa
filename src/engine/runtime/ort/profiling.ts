/** @file Profiles of a session, wherever they are written and read. */
import type { Program } from '../../ir/program.ts'
import type { OnnxModel } from '../../onnx/serialize.ts'
import type { KernelTime } from '../runtime.ts'

/** A profile being written to a folder of its own. */
export interface Profiling {
  /** Where ONNX Runtime shall write: it appends a date and `.json`. */
  readonly prefix: string
  /** Reads the finished profile and removes the folder. */
  read(model: OnnxModel): readonly KernelTime[]
  /** Removes the folder, where it was not read. */
  discard(): void
}

/** Ends a session's profile and reads it. @throws when the program was compiled without profiling. */
export const readProfile = (
  program: Program,
  model: OnnxModel,
  profiling: Profiling | null,
  end: () => void,
): readonly KernelTime[] => {
  if (profiling === null) {
    throw new Error(`program ${program.name}: it was compiled without profiling; pass { profile: true }`)
  }
  end()
  return profiling.read(model)
}
