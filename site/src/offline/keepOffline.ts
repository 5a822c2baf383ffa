/** @file Starts the service worker, after which a page opens and computes without a network. */

/** What a browser says of a connection that costs (https://wicg.github.io/savedata/). */
interface Saving {
  readonly connection?: { readonly saveData?: boolean }
}

const start = async (): Promise<void> => {
  await navigator.serviceWorker.register('./service-worker.js')
  const { active } = await navigator.serviceWorker.ready
  const { connection }: Navigator & Saving = navigator
  if (connection?.saveData !== true) active?.postMessage('keep models')
}

/**
 * Registers the service worker once the page has loaded, which then keeps the shipped model and its runtime, too; whoever
 * saves data has them kept when they are used. Where there is none, as in development, the page goes on without.
 */
export const keepOffline = (): void => {
  if (!('serviceWorker' in navigator)) return
  const register = (): void => void start().catch(() => undefined)
  if (document.readyState === 'complete') register()
  else addEventListener('load', register, { once: true })
}
