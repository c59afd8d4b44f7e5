"""A stand-in for CUDA graphs: what is captured runs at once, and again at each replay."""

import contextlib
import types

import torch


class Graph:
    """Stands for a CUDA graph: what was captured runs again at each replay."""

    def __init__(self):
        self.replays, self.registered = 0, []

    def register_generator_state(self, generator):
        self.registered.append(generator)

    def replay(self):
        self.replays += 1
        parameters, fixed = self.step._parameters, self.step._gradients
        self.step._step()
        for parameter, gradient in zip(parameters, fixed, strict=True):
            gradient.copy_(parameter.grad)  # a graph writes into the same ones
            parameter.grad = None


class CudaOnCpu:
    """Stands for ``torch.cuda``."""

    def __init__(self, graph):
        self.CUDAGraph = graph

    class Stream:
        def __init__(self, device=None):
            pass

        def wait_stream(self, other):
            pass

    def current_stream(self, device):
        return self.Stream()

    def device(self, device):
        return contextlib.nullcontext()

    def stream(self, stream):
        return contextlib.nullcontext()

    def graph(self, graph, stream):
        return contextlib.nullcontext()

    def get_rng_state(self, device):
        return torch.get_rng_state()

    def set_rng_state(self, state, device):
        torch.set_rng_state(state)


def torch_with(graph):
    """As much of torch as ``cuda_graph`` uses, its graphs being of the class ``graph``."""
    return types.SimpleNamespace(cuda=CudaOnCpu(graph), Tensor=torch.Tensor, no_grad=torch.no_grad)
