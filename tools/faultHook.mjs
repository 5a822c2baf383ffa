/**
 * @file Faults of the file system, planted into a program that is started with `--import` of this file.
 *
 * UL_FAULT is `kind:n`, UL_FAULT_DIR the folder that counts: the n-th change below it (counted from 1) meets the fault.
 *   count     none; UL_FAULT_COUNT names a file that gets the number of changes
 *   kill      half of what is written is written, then the process is killed
 *   full      half of what is written is written; from here on the disk is full
 *   io        this one change fails as by a damaged disk
 *   removed   the folder is removed before it
 *   readonly  this and all later changes are refused
 *   short     no system call writes more than n bytes
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { resolve, sep } from 'node:path'

const [kind, number] = (process.env.UL_FAULT ?? 'count:0').split(':')
const at = Number(number)
const dir = resolve(process.env.UL_FAULT_DIR ?? '.')
const own = { ...fs }
const isBelow = (path) => {
  const whole = resolve(String(path))
  return whole === dir || whole.startsWith(dir + sep)
}
const paths = new Map()
let changes = 0
let isFull = false

const failure = (code, syscall, path) =>
  Object.assign(new Error(`${code}: planted, ${syscall} '${path}'`), { code, syscall, path })

/** Meets a change. @param part does half of it, where it has halves */
const change = (syscall, path, part = () => undefined) => {
  changes++
  if (kind === 'readonly' && changes >= at) throw failure('EROFS', syscall, path)
  if (isFull && syscall !== 'rm' && syscall !== 'rename') throw failure('ENOSPC', syscall, path)
  if (changes !== at) return
  if (kind === 'kill') {
    part()
    process.kill(process.pid, 'SIGKILL')
  }
  if (kind === 'full') {
    isFull = true
    if (syscall === 'rm' || syscall === 'rename') return
    part()
    throw failure('ENOSPC', syscall, path)
  }
  if (kind === 'io') throw failure('EIO', syscall, path)
  if (kind === 'removed') own.rmSync(dir, { recursive: true, force: true })
}

const half = (chunks) => {
  const whole = Buffer.concat(chunks)
  return whole.subarray(0, whole.length >> 1)
}

fs.openSync = (path, flags = 'r', ...rest) => {
  const writes = isBelow(path) && !['r', 'rs'].includes(flags)
  if (writes) change('open', path)
  const fd = own.openSync(path, flags, ...rest)
  if (writes) paths.set(fd, path)
  return fd
}
fs.closeSync = (fd) => {
  paths.delete(fd)
  own.closeSync(fd)
}
fs.writevSync = (fd, chunks, ...rest) => {
  if (!paths.has(fd)) return own.writevSync(fd, chunks, ...rest)
  change('write', paths.get(fd), () => own.writeSync(fd, half(chunks)))
  return kind === 'short'
    ? own.writeSync(fd, Buffer.concat(chunks).subarray(0, at))
    : own.writevSync(fd, chunks, ...rest)
}
fs.writeFileSync = (path, content, ...rest) => {
  if (isBelow(path))
    change('write', path, () => own.writeFileSync(path, half([Buffer.from(content)]), ...rest))
  own.writeFileSync(path, content, ...rest)
}
for (const [name, syscall] of [
  ['renameSync', 'rename'],
  ['mkdirSync', 'mkdir'],
  ['rmSync', 'rm'],
]) {
  fs[name] = (path, ...rest) => {
    if (isBelow(path)) change(syscall, path)
    return own[name](path, ...rest)
  }
}
fs.fsyncSync = (fd) => {
  if (paths.has(fd)) change('fsync', paths.get(fd))
  own.fsyncSync(fd)
}
syncBuiltinESMExports()

process.on('exit', () => {
  if (process.env.UL_FAULT_COUNT !== undefined) own.writeFileSync(process.env.UL_FAULT_COUNT, String(changes))
})
