/** @file The devices whose memory sessions of the C API use. */
import type { Device } from '../runtime.ts'

/** How CUDA is used. */
export interface CudaOptions {
  /** Number of the card; 0 when absent. */
  readonly card?: number
  /** Bytes of the card's memory that the state, and each compiled program, may take at most; no limit when absent. */
  readonly memoryLimit?: number
  /**
   * Whether runs are captured as CUDA graphs and replayed, which spares the launches of small kernels. ONNX Runtime
   * refuses programs of which it places a kernel on the CPU. A graph is captured for every set of tensors, so it pays
   * for training, where they stay the same, and not for states that come and go.
   */
  readonly graph?: boolean
}

/** A device, and how ONNX Runtime reaches it. */
export interface NativeDevice {
  readonly device: Device
  /** ONNX Runtime's name of its memory, and its number. */
  readonly memory: 'Cpu' | 'Cuda'
  readonly number: number
  /** Options of CUDA's provider, by the names that it gives them; null for the CPU's alone. */
  readonly provider: Readonly<Record<string, string>> | null
  readonly graph: boolean
  /** What to do when the device does not start, as the end of a sentence. */
  readonly advice: string
}

/** The CPU as a device with memory of its own, on which everything that serves CUDA runs too. */
export const cpuDevice = ({ graph = false }: CudaOptions = {}): NativeDevice => ({
  ...{ device: 'cpu', memory: 'Cpu', number: 0, provider: null, graph },
  advice: 'reinstall onnxruntime-node',
})

/** A card. @param tf32 whether products round what they read to the 11 bits of TF32 */
export const cudaDevice = (
  tf32: boolean,
  { card = 0, memoryLimit, graph = false }: CudaOptions = {},
): NativeDevice => ({
  ...{ device: 'cuda', memory: 'Cuda', number: card, graph },
  provider: {
    device_id: String(card),
    ...(memoryLimit !== undefined && { gpu_mem_limit: String(memoryLimit) }),
    // Powers of two would leave up to half of what a training state takes unused.
    arena_extend_strategy: 'kSameAsRequested',
    // The default tries every algorithm of every convolution, for minutes.
    cudnn_conv_algo_search: 'HEURISTIC',
    use_tf32: tf32 ? '1' : '0',
  },
  advice:
    "install CUDA 13, cuDNN 9 and the provider, of which 'ul doctor' says what is missing, or use --device cpu",
})

/** What the provider of a program's session is told. */
export const programProvider = ({ provider, graph }: NativeDevice): NativeDevice['provider'] =>
  provider && { ...provider, enable_cuda_graph: graph ? '1' : '0' }
