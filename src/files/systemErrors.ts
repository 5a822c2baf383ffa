/** @file What the operating system refuses, in one sentence that names the file and says what to do. */

/** What an error code means, and what helps. */
const meanings: Readonly<Record<string, readonly [found: string, remedy: string]>> = {
  EACCES: ['permission is denied', 'allow access to it, or give another place'],
  EPERM: ['permission is denied', 'allow access to it, or give another place'],
  EROFS: ['its file system is read-only', 'give another place'],
  ENOSPC: ['no space is left there', 'free some, or give another place'],
  EDQUOT: ['the quota there is used up', 'free some space, or give another place'],
  EFBIG: ['it would be longer than files may be there', 'raise that limit, or give another place'],
  ENOENT: ['there is no such file or folder', 'check the spelling, or make it'],
  EISDIR: ['it is a folder', 'give a file'],
  ENOTDIR: ['a part of that path is a file, not a folder', 'check the path'],
  EEXIST: ['it is there already', 'remove it, or give another name'],
  ENOTEMPTY: ['that folder is not empty', 'remove it, or give another name'],
  ENAMETOOLONG: ['a name in it is too long', 'give a shorter one'],
  ELOOP: ['its links lead in a circle', 'correct them'],
  EMFILE: ['too many files are open', "close some, or raise the limit ('ulimit -n')"],
  ENFILE: ['too many files are open on this machine', 'close some programs'],
  ENOMEM: ['memory has run out', 'free some'],
  EIO: ['the device failed', 'check the disk, or give another place'],
  ESTALE: ['its network drive has lost it', 'check that drive'],
  EBUSY: ['something else is using it', 'wait for that, or give another place'],
  ETXTBSY: ['something else is using it', 'wait for that, or give another place'],
  EXDEV: ['it lies on another device', 'give a place on the same one'],
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'code' in error && 'syscall' in error && typeof error.code === 'string'

/**
 * What a system error means, or null of any other error.
 * @param path the file; by default the one that the error names, which those of open files do not
 */
export const systemSentence = (error: unknown, path?: string): string | null => {
  if (!isSystemError(error)) return null
  const { code = '', syscall } = error
  const [found, remedy] = meanings[code] ?? [`the system refuses ${syscall}`, 'check that place']
  return `${path ?? error.path ?? 'a file'}: ${found} (${code}); ${remedy}`
}

/** Does something with a file. @throws one sentence that names it, in place of a system error */
export const naming = <T>(path: string, work: () => T): T => {
  try {
    return work()
  } catch (cause) {
    const sentence = systemSentence(cause, path)
    throw sentence === null ? cause : new Error(sentence, { cause })
  }
}
