/** @file What a page has to say for a moment: errors in one sentence, which stay until they are read, and notes. */

/** A message on the page. */
export interface Toast {
  readonly id: number
  readonly kind: 'error' | 'note'
  readonly text: string
}

const noteMilliseconds = 5000

/** The messages on the page, oldest first. */
export const toasts: Toast[] = $state([])
let last = 0

const show = (kind: Toast['kind'], text: string): number => {
  const same = toasts.find((toast) => toast.text === text)
  if (same !== undefined) return same.id
  last += 1
  toasts.push({ id: last, kind, text })
  return last
}

/** Takes a message away. */
export const dismiss = (id: number): void => {
  const at = toasts.findIndex((toast) => toast.id === id)
  if (at >= 0) toasts.splice(at, 1)
}

/** Says what went wrong, in the words of the error. */
export const complain = (error: unknown): void => {
  show('error', error instanceof Error ? error.message : String(error))
}

/** Says something that goes away by itself. */
export const note = (text: string): void => {
  const id = show('note', text)
  setTimeout(() => dismiss(id), noteMilliseconds)
}
