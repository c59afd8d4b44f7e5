"""What an error says of the machine, in the words of torch 2.15, its libraries and the system."""

import errno

import pytest
import torch

from mnist_core.device.device_errors import first_line, is_gpu_failure, is_out_of_memory

MEMORY = [
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.OutOfMemoryError("HIP out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"),
    torch.AcceleratorError("CUDA error: out of memory", 2),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
    RuntimeError("NCCL error: unhandled cuda error\nCuda failure 2 'out of memory'"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried …"),
    RuntimeError("unable to mmap 44 bytes from file </dev/shm/x>: Cannot allocate memory (12)"),
    RuntimeError("std::bad_alloc"),
    MemoryError("Unable to allocate 2.00 GiB for an array with shape (2,)"),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
GPU = [
    RuntimeError(
        "Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized"
    ),
    RuntimeError("The NVIDIA driver on your system is too old (found version 11040)."),
    RuntimeError("CUDA driver initialization failed, you might not have a CUDA gpu."),
    RuntimeError("Cannot re-initialize CUDA in forked subprocess."),
    RuntimeError("CUDA-capable device(s) is/are busy or unavailable"),
    RuntimeError("no kernel image is available for execution on the device"),
    RuntimeError("device kernel image is invalid"),
    RuntimeError("nvrtc: error: invalid value for --gpu-architecture (-arch)"),
    RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
    RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
    torch.AcceleratorError("CUDA error: device-side assert triggered", 710),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(…)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"),
    RuntimeError("CUDA driver error: device not ready"),
    RuntimeError("No CUDA GPUs are available"),
    RuntimeError("Found no NVIDIA driver on your system."),
]
OTHERS = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu!"),
    ValueError("CUDA error: out of memory"),
    OSError(errno.ENOSPC, "No space left on device"),
    KeyError("cuda"),
]


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_out_of_memory(error):
    assert is_out_of_memory(error) and not is_gpu_failure(error)


@pytest.mark.parametrize("error", GPU, ids=str)
def test_a_gpu_that_failed(error):
    assert is_gpu_failure(error) and not is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_neither(error):
    assert not is_gpu_failure(error) and not is_out_of_memory(error)


def test_first_line():
    assert first_line(RuntimeError("CUDA error: x\nmore")) == "CUDA error: x"
    assert first_line(MemoryError()) == "MemoryError"
