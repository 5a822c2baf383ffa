/** @file What is shown, as the page's address says it: a reload, a link and the way back lead to the same view. */
import type { StartRequest } from '../../../../src/studio/api.ts'
import type { Order } from './runTable.ts'

/** The views, in the order of their tabs. */
export const views = ['runs', 'charts', 'images', 'sweep', 'plan', 'new'] as const
export type View = (typeof views)[number]

/** Parts of one run's page. */
export const parts = ['charts', 'images', 'output', 'config'] as const
export type Part = (typeof parts)[number]

/** Where a run trains. */
export type Device = NonNullable<StartRequest['device']>
export const devices: readonly Device[] = ['cpu', 'webgpu', 'cuda']

/** Steps of a stage, both ends shown. */
export interface Zoom {
  readonly stage: string
  readonly from: number
  readonly to: number
}

/** Everything that outlives a reload. */
export interface PageState {
  readonly view: View
  /** The run that is looked at by itself; null while none is. */
  readonly run: string | null
  readonly part: Part
  /** Runs that are compared in charts and images. */
  readonly shown: readonly string[]
  readonly order: Order
  readonly search: string
  readonly zoom: Zoom | null
  /** Weight of smoothing, 0 to 0.99. */
  readonly smooth: number
  /** Metrics on a logarithmic axis. */
  readonly log: readonly string[]
  /** Kind of images and the step that is looked at; null for the last. */
  readonly kind: string | null
  readonly step: number | null
  /** Folder of the sweep; empty for all runs. */
  readonly below: string
  /** Axes of the scatter, names of figures or `baseFlops`. */
  readonly x: string
  readonly y: string
  /** The planner: the wanted rate in bits per pixel, null where none is chosen, and the budget as it was typed. */
  readonly rate: number | null
  readonly budget: string
  /** The new run: its preset, what differs from it, its name. */
  readonly preset: string
  readonly set: readonly string[]
  readonly as: string
  readonly device: Device
}

/** The page without anything chosen. */
export const firstState: PageState = {
  view: 'runs',
  run: null,
  part: 'charts',
  shown: [],
  order: { key: 'run', isDown: false },
  search: '',
  zoom: null,
  smooth: 0,
  log: ['decoderNatsPerPixel', 'gradNorm', 'teacherError'],
  kind: null,
  step: null,
  below: '',
  x: 'bitsPerPixel',
  y: 'psnr',
  rate: null,
  budget: '',
  preset: '',
  set: [],
  as: '',
  device: 'cpu',
}

/** `stage1:100:500`. */
const zoomText = ({ stage, from, to }: Zoom): string => `${stage}:${from}:${to}`

const zoomIn = (text: string): Zoom | null => {
  const [, stage, from, to] = /^(.+):(-?[\d.]+):(-?[\d.]+)$/.exec(text) ?? []
  return stage !== undefined && Number(from) < Number(to)
    ? { stage, from: Number(from), to: Number(to) }
    : null
}

const lists = ['shown', 'log', 'set'] as const
const texts = ['search', 'below', 'x', 'y', 'budget', 'preset', 'as'] as const

/** A number between bounds; what is none is `otherwise`. */
const numberIn = <T>(
  text: string | null,
  [low, high]: readonly [number, number],
  otherwise: T,
): number | T => {
  const value = text === null || text === '' ? Number.NaN : Number(text)
  return value >= low && value <= high ? value : otherwise
}

/** The query of an address: only what is not as it is first. */
export const queryOf = (state: PageState): string => {
  const query = new URLSearchParams()
  const put = (key: string, value: string, first: string): void => {
    if (value !== first) query.append(key, value)
  }
  put('view', state.view, firstState.view)
  if (state.run !== null) query.append('run', state.run)
  put('part', state.part, firstState.part)
  put('device', state.device, firstState.device)
  for (const key of lists) {
    const isFirst = JSON.stringify(state[key]) === JSON.stringify(firstState[key])
    if (isFirst) continue
    for (const value of state[key].length === 0 ? [''] : state[key]) query.append(key, value)
  }
  const sign = state.order.isDown ? '-' : ''
  put('sort', `${sign}${state.order.key}`, firstState.order.key)
  for (const key of texts) put(key, state[key], firstState[key])
  if (state.zoom !== null) query.append('zoom', zoomText(state.zoom))
  put('smooth', String(state.smooth), String(firstState.smooth))
  if (state.kind !== null) query.append('kind', state.kind)
  if (state.step !== null) query.append('step', String(state.step))
  if (state.rate !== null) query.append('rate', String(state.rate))
  return query.toString()
}

/** What an address says; what does not read there is as it is first. */
export const stateIn = (text: string): PageState => {
  const query = new URLSearchParams(text)
  /** The word of a key, where it is one of those known. */
  const among = <T extends string>(key: string, known: readonly T[], first: T): T =>
    known.find((name) => name === query.get(key)) ?? first
  const sort = query.get('sort') ?? firstState.order.key
  const list = (key: (typeof lists)[number]): readonly string[] =>
    query.has(key) ? [...new Set(query.getAll(key))].filter((value) => value !== '') : firstState[key]
  const word = (key: (typeof texts)[number]): string => query.get(key) ?? firstState[key]
  return {
    view: among('view', views, firstState.view),
    device: among('device', devices, firstState.device),
    run: query.get('run') || null,
    part: among('part', parts, firstState.part),
    shown: list('shown'),
    log: list('log'),
    set: list('set'),
    order: { key: sort.replace(/^-/, ''), isDown: sort.startsWith('-') },
    search: word('search'),
    below: word('below'),
    x: word('x'),
    y: word('y'),
    budget: word('budget'),
    preset: word('preset'),
    as: word('as'),
    zoom: zoomIn(query.get('zoom') ?? ''),
    smooth: numberIn(query.get('smooth'), [0, 0.99], firstState.smooth),
    kind: query.get('kind') || null,
    rate: numberIn(query.get('rate'), [Number.MIN_VALUE, Number.MAX_VALUE], null),
    step: numberIn(query.get('step'), [0, Number.MAX_SAFE_INTEGER], null),
  }
}
