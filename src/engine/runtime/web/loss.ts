/**
 * @file A GPU that is lost in the middle: its driver was reset, its process died, or it was taken away. ONNX Runtime does not
 * recover from that: whatever runs then, or is asked of it later, fails in words of its own or never ends.
 */
import { DeviceLostError } from '../deviceError.ts'
import type { OrtLibrary, OrtSession } from '../ort/library.ts'

/** What is read of a GPUDevice (https://www.w3.org/TR/webgpu/#gpudevice). */
export interface LosableDevice {
  readonly lost: Promise<{ readonly message: string }>
}

/** The part of a library that computes. */
type Sessions = Pick<OrtLibrary, 'InferenceSession' | 'Tensor'>

/**
 * A library whose sessions end with DeviceLostError, at once and for good, when the device that they are on is lost.
 * @param device that the newest session is on
 */
export const losable = (ort: Sessions, device: () => LosableDevice | undefined): OrtLibrary => {
  let lost: DeviceLostError | null = null
  let current: LosableDevice | null = null
  let sessions = 0
  const underWay = new Set<(error: Error) => void>()

  const watch = (own: LosableDevice | undefined): void => {
    if (own === undefined || own === current) return
    current = own
    void own.lost.then(({ message }) => {
      // The library itself destroys a device that no session is on, and makes another for the next.
      if (own !== current || sessions === 0) return
      lost = new DeviceLostError(message.replace(/\.?\s*$/, ''))
      for (const fail of underWay) fail(lost)
    })
  }

  /** No race of promises: each would stay with `lost`, which is never settled, for as long as the page lives. */
  const whileThere = <T>(work: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      if (lost !== null) return reject(lost)
      underWay.add(reject)
      work()
        .then(resolve, reject)
        .finally(() => underWay.delete(reject))
    })

  const create: OrtLibrary['InferenceSession']['create'] = async (model, options) => {
    const session: OrtSession = await whileThere(() => ort.InferenceSession.create(model, options))
    watch(device())
    sessions += 1
    return {
      run: (feeds, fetches) => whileThere(() => session.run(feeds, fetches)),
      endProfiling: () => session.endProfiling(),
      release: async () => {
        sessions -= 1
        if (lost === null) await session.release() // else it went with the device
      },
    }
  }
  return { InferenceSession: { create }, Tensor: ort.Tensor }
}
