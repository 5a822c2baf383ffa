/** @file The entry of the page index.html. */
import { mountPage } from '../shell/mountPage.ts'
import Playground from './Playground.svelte'

mountPage(Playground)
