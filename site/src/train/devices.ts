/** @file Where training may compute, and what an address says of it: `?device=wasm`. */
import type { DeviceChoice } from './messages.ts'

/** Choices and what is written for them. */
export const deviceChoices: readonly (readonly [DeviceChoice, string])[] = [
  ['auto', 'GPU where there is one'],
  ['webgpu', 'GPU (WebGPU)'],
  ['wasm', 'CPU (WebAssembly)'],
]

/** The choice in an address; `auto` where it says nothing that is known. */
export const deviceInAddress = ({ search }: Pick<Location, 'search'>): DeviceChoice => {
  const given = new URLSearchParams(search).get('device')
  return deviceChoices.find(([choice]) => choice === given)?.[0] ?? 'auto'
}
