/** @file Text of files, classes and runs, shown without what it could do to a terminal or a page. */
import fc from 'fast-check'
import sharp from 'sharp'
import { expect, it } from 'vitest'
import { float32 } from '../../src/engine/host/tensor.ts'
import { escapeMarkup, inOneLine, visible } from '../../src/report/escape.ts'
import { gridPng } from '../../src/report/grid.ts'

it('writes out what steers a terminal, and leaves letters of any kind', () => {
  expect(visible('a\u001b[2Jb\u0007\r\u009b1m\u202ec')).toBe('a\\u001b[2Jb\\u0007\\u000d\\u009b1m\\u202ec')
  const family = '👩‍👩‍👧 é 漢字 عربي\n\tx'
  expect(visible(family)).toBe(family)
  expect(inOneLine('a\nb\tc')).toBe('a\\nb\\tc')
})

it('leaves nothing that steers in any text, and JSON what it says', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const steering = [...visible(text)].filter((c) => {
        const code = c.codePointAt(0)!
        return (code < 32 && c !== '\n' && c !== '\t') || (code >= 127 && code < 160)
      })
      expect(steering).toEqual([])
      expect(JSON.parse(visible(JSON.stringify([text])))).toEqual([text])
    }),
  )
})

it('keeps out of markup what XML cannot hold, so that any label can be drawn', async () => {
  expect(escapeMarkup('a\u001b[31m<b>\u0000\ud800c\n')).toBe('a[31m&lt;b&gt;c\n')
  const image = float32([1, 3, 4, 4], new Float32Array(48))
  for (const label of ['a\u001bb', 'x\ud800y', '\ufffe', '\u0000\u0008\u007f'])
    expect((await sharp(await gridPng(image, 1, { labels: [label] })).metadata()).height).toBe(4)
})
