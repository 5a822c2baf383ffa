/**
 * @file ONNX Runtime 1.30 collects telemetry on Linux unless it is told not to: it reads the machine's id and this process's
 * command line, and keeps a database in the user's cache folder. A command line of more than about 25 kB (some hundred names of
 * images) overflows the stack of its pattern matcher there, which ends the process. It looks at this variable when its environment
 * is made, so that importing this is early enough; whoever has set it has decided otherwise.
 */
process.env.ORT_DISABLE_TELEMETRY ??= '1'
