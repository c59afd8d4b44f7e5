"""What an error says of the machine: it is out of memory, or a GPU failed."""

# torch is not imported here: a process without it cannot raise its errors.

import errno
import re

_NO_MEMORY = re.compile(
    r"out of memory"  # torch's allocators on CUDA, HIP and MPS; CUDA, its driver, NCCL, Triton
    r"|ALLOC(ATION)?_FAILED"  # cuBLAS, cuSOLVER, cuSPARSE, cuFFT; cuDNN, also of host memory
    r"|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_NOT_INITIALIZED"  # no room for the library's handle
    r"|(can't|cannot|could not|failed to|unable to) (allocate|mmap)"  # the CPU's allocator; mmap
    r"|not enough memory"  # the same on Windows
    r"|unable to find (an engine to execute|a valid cuDNN algorithm)"  # no room for a work space
    r"|bad_alloc",  # C++
    re.IGNORECASE,
)
_GPU = re.compile(
    r"(CUDA|HIP|cuDNN|NCCL|NVRTC|NVML)( driver| runtime| unknown| initialization)? error"
    r"|CU(BLAS|DNN|SOLVER|SPARSE|FFT)_\w+"
    r"|No CUDA GPUs are available"
    r"|Found no NVIDIA driver"
    r"|NVIDIA driver on your system is too old"
    r"|cudaGetDeviceCount|CUDA driver initialization failed|Cannot re-initialize CUDA"
    r"|device\(s\) is/are busy or unavailable"
    r"|kernel image is (available|invalid)"
    r"|nvrtc[: _]*error",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory ran out, the machine's or a GPU's."""
    if isinstance(error, MemoryError) or _is_a(error, "OutOfMemoryError"):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))


def is_gpu_failure(error: BaseException) -> bool:
    """Return whether a GPU, its driver or one of its libraries failed, other than for memory."""
    # After most of these errors every later call of the same process fails, too ("sticky" errors,
    # CUDA C++ Programming Guide, error handling).
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    return _is_a(error, "AcceleratorError") or bool(_GPU.search(str(error)))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_a(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)
