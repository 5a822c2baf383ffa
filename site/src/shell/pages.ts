/** @file The pages of the site, in the order of the navigation. Links are relative, so that the site lies anywhere. */
export const pages = [
  { name: 'playground', title: 'Playground', href: './index.html' },
  { name: 'train', title: 'Train', href: './train.html' },
  { name: 'studio', title: 'Studio', href: './studio.html' },
] as const

/** A page by its name. */
export type PageName = (typeof pages)[number]['name']
