/** @file The entry of the page train.html. */
import { mountPage } from '../shell/mountPage.ts'
import Train from './Train.svelte'

mountPage(Train)
