/** @file Puts a page's component into its document. */
import '../design/base.css'
import { type Component, mount } from 'svelte'

/** @throws Error where the document has no element `app` */
export const mountPage = (page: Component): void => {
  const target = document.getElementById('app')
  if (target === null) throw new Error('the document has no element with the id "app"; add it to the HTML')
  mount(page, { target })
}
