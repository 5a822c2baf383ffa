/** @file Where this browser keeps what the page of training makes, in its own file system: `runs/NAME`, and in it `model`. */
export const runsFolder = 'runs'

/** The folder in a run's that its model lies in, once it was opened in the playground. */
export const modelFolder = 'model'
