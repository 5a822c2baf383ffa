/** @file The card of a model on the Hub: that of an export, with what the Hub reads at its beginning, a picture, and how to use it. */
import { stringify } from 'yaml'

/** Licences by which the Hub knows them. */
const knownLicences: ReadonlySet<string> = new Set([
  ...['apache-2.0', 'mit', 'bsd-2-clause', 'bsd-3-clause', 'isc', 'unlicense', 'cc0-1.0', 'wtfpl'],
  ...['cc-by-4.0', 'cc-by-sa-4.0', 'cc-by-nc-4.0', 'cc-by-nc-sa-4.0', 'cc-by-nd-4.0', 'cc-by-nc-nd-4.0'],
  ...['gpl-2.0', 'gpl-3.0', 'lgpl-3.0', 'agpl-3.0', 'mpl-2.0', 'openrail', 'creativeml-openrail-m'],
])

const licenceKeys = (licence: string | undefined): object => {
  if (licence === undefined) return {}
  const id = licence.toLowerCase()
  return knownLicences.has(id) ? { license: id } : { license: 'other', license_name: licence }
}

/** What a card is made from. */
export interface HubCard {
  /** owner/name */
  readonly model: string
  readonly licence?: string | undefined
  readonly isOfClips: boolean
  /** The card of the export. */
  readonly text: string
  /** A picture and what it shows. */
  readonly picture: { readonly file: string; readonly caption: string } | null
  readonly hasOnnx: boolean
}

/** The card as Markdown. */
export const hubCard = ({ model, licence, isOfClips, text, picture, hasOnnx }: HubCard): string => {
  const [, name] = model.split('/')
  const head = stringify({
    ...licenceKeys(licence),
    library_name: 'unified-latents',
    ...(!isOfClips && { pipeline_tag: 'unconditional-image-generation' }),
    tags: ['unified-latents', 'diffusion', 'autoencoder', ...(hasOnnx ? ['onnx'] : [])],
  })
  const shown = picture === null ? '' : `\n![Samples](${picture.file})\n\n*${picture.caption}*\n`
  const onnx = hasOnnx
    ? '\n`onnx/` has its networks for other programs, of any batch, and `onnx/model.json` how to sample from them.\n'
    : ''
  return `---
${head}---

${text}${shown}
## Use

\`\`\`sh
ul pull ${model}
ul ${picture === null ? `info models/${name}` : `sample models/${name} --out samples.${isOfClips ? 'webp' : 'png'}`}
\`\`\`
${onnx}`
}
