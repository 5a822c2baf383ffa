/** @file Errors of devices as such, whatever is computed on them. */
import type { Device } from './runtime.ts'

/** A device does not start, or is there no more. */
export class DeviceError extends Error {
  readonly device: Device
  /** What is the matter, without what to do. */
  readonly reason: string

  constructor(device: Device, reason: string, advice: string, options?: ErrorOptions) {
    super(`device ${device}: ${reason}; ${advice}`, options)
    this.device = device
    this.reason = reason
  }
}

/** The GPU of a page is gone, with all that lay on it; that page does not get it again. */
export class DeviceLostError extends DeviceError {
  /** @param said by the browser */
  constructor(said: string) {
    super(
      'webgpu',
      `the GPU was lost (${said})`,
      "what was on it is gone; reload the page, or take 'wasm', or 'auto', which falls back to it",
    )
  }
}
