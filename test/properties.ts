/** @file Property tests: where tests must repeat (CI), they draw the same cases each time; a failure prints its seed anyhow. */
import fc from 'fast-check'

if (process.env.CI !== undefined) fc.configureGlobal({ seed: 1 })
