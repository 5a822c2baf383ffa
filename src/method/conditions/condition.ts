/** @file What generation may be conditioned on besides the noise level: its inputs, its null, its embedding, its names. */
import type { HostTensor } from '../../engine/host/tensor.ts'
import type { Value } from '../../engine/ir/graph.ts'
import type { Network } from '../../engine/nn/network.ts'
import type { InputSpecs, Traced } from '../../train/objective.ts'

/** What is known of an image that is generated, or trained on. */
export interface Facts {
  /** Class by number; −1 for none. */
  readonly label: number
  /** Whether it is mirrored left to right; absent where nobody says. */
  readonly mirrored?: boolean
}

/** One thing that the base model may be told. */
export interface Condition {
  /** Names its parameters within the base model, and its inputs. */
  readonly name: string
  /** What is fed for B examples. */
  inputs(B: number): InputSpecs
  /** The feeds of examples; null stands for an example of which nothing is told, as guidance needs it. */
  feeds(facts: readonly (Facts | null)[]): Readonly<Record<string, HostTensor>>
  /** The values that grids and samples show in turn; none where there is nothing to choose from. */
  readonly choices: readonly Facts[]
  /** What a value is called. @param classes names of the data's classes, by label */
  nameOf(facts: Facts, classes: readonly string[]): string
  /** Its embedding [B, E] from its traced inputs. */
  embedding(width: number): Network<Embedding>
}

/** Traces [B, E] from the inputs of a program, the condition's own among them. */
export type Embedding = (inputs: Traced<InputSpecs>) => Value

/** A condition whose embedding receives its own inputs by name. */
export const conditionOf = <I extends InputSpecs>(given: {
  readonly name: string
  readonly inputs: (B: number) => I
  readonly feeds: Condition['feeds']
  readonly choices: Condition['choices']
  readonly nameOf: Condition['nameOf']
  readonly embedding: (width: number) => Network<(inputs: Traced<I>) => Value>
}): Condition => ({
  ...given,
  embedding: (width) => {
    const { spec, bind } = given.embedding(width)
    return {
      spec,
      bind: (lookUp, path) => {
        const embed = bind(lookUp, path)
        return (inputs) => embed(inputs as Traced<I>)
      },
    }
  },
})
