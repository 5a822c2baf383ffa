/** @file The entry of the page studio.html. */
import './series.css'
import { mountPage } from '../shell/mountPage.ts'
import Studio from './Studio.svelte'

mountPage(Studio)
