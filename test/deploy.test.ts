/** @file The files by which clusters start a job: what they ask for fits together, and the command that they start is one of ours. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { presets } from '../src/config/presets.ts'

const strings = z.array(z.string())
const volume = z.strictObject({
  name: z.string(),
  persistentVolumeClaim: z.strictObject({ claimName: z.string() }),
})
const container = z.strictObject({
  name: z.string(),
  image: z.string(),
  securityContext: z.strictObject({ runAsUser: z.literal(1000) }),
  command: strings,
  args: strings,
  env: z.array(z.strictObject({ name: z.string(), value: z.string() })).optional(),
  resources: z.strictObject({ limits: z.strictObject({ cpu: z.string(), memory: z.string() }) }).optional(),
  volumeMounts: z.array(
    z.strictObject({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().optional() }),
  ),
})
const replicas = z.strictObject({
  replicas: z.number(),
  restartPolicy: z.enum(['Never', 'OnFailure']),
  template: z.strictObject({
    spec: z.strictObject({ containers: z.array(container).length(1), volumes: z.array(volume) }),
  }),
})
/** What of kubeflow.org/v2beta1 is used; a misspelt key is none of it. */
const mpiJob = z.strictObject({
  apiVersion: z.literal('kubeflow.org/v2beta1'),
  kind: z.literal('MPIJob'),
  metadata: z.strictObject({ name: z.string() }),
  spec: z.strictObject({
    slotsPerWorker: z.number(),
    runPolicy: z.strictObject({
      cleanPodPolicy: z.enum(['Running', 'All', 'None']),
      backoffLimit: z.number(),
    }),
    sshAuthMountPath: z.string(),
    mpiReplicaSpecs: z.strictObject({ Launcher: replicas, Worker: replicas }),
  }),
})

it('the MPIJob has the keys of its API, and as many processes as places for them', () => {
  const { spec } = mpiJob.parse(parse(readFileSync('deploy/mpijob.yaml', 'utf8')))
  const { Launcher, Worker } = spec.mpiReplicaSpecs
  const [launcher, worker] = [Launcher, Worker].map(({ template }) => template.spec.containers[0])
  const { args } = launcher
  expect(Number(args[args.indexOf('-n') + 1])).toBe(spec.slotsPerWorker * Worker.replicas)
  expect(Object.keys(presets)).toContain(args[args.indexOf('train') + 1])
  expect(launcher.image).toBe(worker.image)
  // Threads of the processes of a worker are its processors.
  const threads = Number(args[args.indexOf('--threads') + 1])
  expect(threads * spec.slotsPerWorker).toBe(Number(worker.resources?.limits.cpu))
  for (const { spec: pod } of [Launcher.template, Worker.template]) {
    const mounted = pod.containers[0].volumeMounts.map(({ name }) => name)
    expect(mounted.sort()).toEqual(pod.volumes.map(({ name }) => name).sort())
  }
  const paths = args.filter((arg) => arg.includes('/data/') || arg.includes('/runs/'))
  expect(paths).toHaveLength(2)
})

it('the Slurm job gives every process as many threads as processors', () => {
  const script = readFileSync('deploy/slurm.sh', 'utf8')
  const asked = Object.fromEntries(
    [...script.matchAll(/^#SBATCH --([\w-]+)=(\S+)$/gm)].map(([, key, value]) => [key, value]),
  )
  expect(asked).toMatchObject({ 'ntasks-per-node': '2', 'cpus-per-task': '8', signal: 'TERM@300' })
  expect(script).toContain('--threads "$SLURM_CPUS_PER_TASK"')
  expect(Object.keys(presets)).toContain(/ul train (\w+)/.exec(script)?.[1])
})
