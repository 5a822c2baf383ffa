/** @file A run of files as one zip archive, piece by piece. */
import { Zip, ZipDeflate, ZipPassThrough } from 'fflate'

/** What is packed already, or has no order that packing finds. */
const isDense = (path: string): boolean => /\.(png|safetensors)$/.test(path)

/** @param folder that all lie in @param files one after the other */
export const zipOf = async (
  folder: string,
  files: AsyncIterable<readonly [path: string, bytes: Uint8Array]>,
): Promise<Blob> => {
  const parts: Uint8Array<ArrayBuffer>[] = []
  let failed: Error | null = null
  const zip = new Zip((error, part) => {
    if (error) failed = error
    else parts.push(part as Uint8Array<ArrayBuffer>)
  })
  for await (const [path, bytes] of files) {
    const name = `${folder}/${path}`
    const file = isDense(path) ? new ZipPassThrough(name) : new ZipDeflate(name)
    zip.add(file)
    file.push(bytes, true)
  }
  zip.end()
  if (failed !== null) throw failed
  return new Blob(parts, { type: 'application/zip' })
}
