/** @file The entry of the page train.html. */
import { keepOffline } from '../offline/keepOffline.ts'
import { mountPage } from '../shell/mountPage.ts'
import Train from './Train.svelte'

mountPage(Train)
keepOffline()
