/** @file A thread that reads logs for logThreads.ts: answers each question by its number. */
import { parentPort, workerData } from 'node:worker_threads'
import { readLogsHere } from './logReader.ts'
import type { LogAnswer, LogQuestion } from './logThreads.ts'

const port = parentPort
if (port === null) throw new Error('studio/logThread: this is a thread of ul studio; start that')

const logs = readLogsHere((workerData as { readonly mostBytes: number }).mostBytes)

port.on('message', ({ number, path, wish }: LogQuestion) => {
  const asked = wish === null ? logs.summary(path) : logs.series(path, wish)
  asked.then(
    (value) => port.postMessage({ number, value } satisfies LogAnswer),
    (error: unknown) => port.postMessage({ number, error } satisfies LogAnswer),
  )
})
