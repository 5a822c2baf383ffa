/** @file ul data: what it says of folders, formats and configurations; and a run trained on a container. */
import { readFileSync, writeFileSync } from 'node:fs'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { goldenData } from '../data/golden.ts'
import { inWork, jsonOf, makeImages, sentenceOf, tinyTraining, ul } from './ul.ts'

describe('ul data', () => {
  it('counts a folder, names what is skipped and draws a row for each class', async () => {
    const images = await makeImages('images')
    const lines = await jsonOf(['data', 'folder', '--path', images, '--size', '16', '--out', 'sheet.png'])
    const done = lines.at(-1)!
    expect(done).toMatchObject({
      ...{ event: 'done', source: 'folder', path: images, size: 16, skipped: 1, out: 'sheet.png' },
      firstSkipped: [{ file: 'discs/broken.png' }],
      classes: [{ name: 'discs' }, { name: 'stripes' }],
    })
    expect((done.train as number) + (done.validation as number)).toBe(24)
    const { width, height } = await sharp(readFileSync(inWork('sheet.png'))).metadata()
    // two rows of images at four times their size, two pixels apart, with names to their left
    expect(height).toBe(2 * 64 + 2)
    expect(width).toBeGreaterThan(8 * 66)
  })

  it('says it in words, without writing a sheet unasked', async () => {
    const { code, stdout, stderr } = await ul([
      'data',
      'cifar',
      '--path',
      goldenData('cifar10'),
      '--size',
      '32',
    ])
    expect(code).toBe(0)
    expect(stderr).toMatch(/^data: decoding 14 images once/)
    expect(stdout).toContain(`cifar ${goldenData('cifar10')}: 10 training and 4 validation images, 32×32`)
    expect(stdout).toMatch(/^ {2}10 classes \(training, validation\)$/m)
    expect(stdout).toMatch(/^ {2}ant +4 +1$/m)
    expect(stdout).toMatch(/^ {2}0 skipped$/m)
  })

  it('takes the data of a configuration', async () => {
    const data = `data:\n  source: npy\n  path: ${JSON.stringify(goldenData('npz'))}\n  size: 16\n`
    writeFileSync(inWork('own.yaml'), `name: own\n${data}`)
    const dry = await ul(['train', 'own.yaml', '--dry-run'])
    expect(dry).toMatchObject({ code: 0 })
    const done = (await jsonOf(['data', 'own.yaml'])).at(-1)!
    expect(done).toMatchObject({ source: 'npy', size: 16, train: 24, validation: 6 })
    const set = (
      await jsonOf(['data', 'npy', '--set', `data.path=${goldenData('npz')}`, '--set', 'data.size=8'])
    ).at(-1)
    expect(set).toMatchObject({ source: 'npy', size: 8, train: 24 })
  })

  it('fails in one sentence', async () => {
    expect(await sentenceOf(2, ['data', 'webdataset'])).toMatch(
      /data\.path is missing; give a file or folder/,
    )
    const file = inWork('cut.tar')
    writeFileSync(file, Buffer.alloc(100))
    expect(await sentenceOf(1, ['data', 'webdataset', '--path', file])).toMatch(
      /cut\.tar: byte 0: found only 100/,
    )
    expect(await sentenceOf(2, ['data', 'emoij'])).toMatch(/no preset or file called 'emoij'/)
  })
})

describe('ul train', () => {
  it('trains and evaluates on images out of a container', async () => {
    const own = ['--set', 'data.source=parquet', '--set', `data.path=${goldenData('parquet')}`]
    const lines = await jsonOf([...tinyTraining('unused', 'parquet-run'), ...own])
    expect(lines.at(-1)).toMatchObject({ event: 'done' })
    const run = JSON.parse(readFileSync(inWork('parquet-run', 'run.json'), 'utf8')) as object
    expect(run).toMatchObject({ classes: ['ant', 'bee', 'cat'], trainCount: 24, validationCount: 6 })
    expect((await jsonOf(['evaluate', 'parquet-run'])).at(-1)).toMatchObject({ event: 'done', count: 6 })
  })
})
