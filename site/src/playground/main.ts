/** @file The entry of the page index.html. */
import { keepOffline } from '../offline/keepOffline.ts'
import { mountPage } from '../shell/mountPage.ts'
import Playground from './Playground.svelte'

mountPage(Playground)
keepOffline()
