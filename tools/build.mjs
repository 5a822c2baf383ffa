/** @file Builds the package and the examples (tsdown.config.ts), and is silent unless something is wrong. */
import { build } from 'tsdown'

await build({ logLevel: 'warn' })
