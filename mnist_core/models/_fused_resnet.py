"""torchvision's ResNets of basic blocks, with batch norm and ReLU in one pass where that can be."""

import torch
from torch import Tensor
from torchvision.models import resnet  # type: ignore[import-untyped]

from mnist_core.kernels import add_relu
from mnist_core.models._fused import compute, is_relu


class BasicBlock(resnet.BasicBlock):  # type: ignore[misc]
    """torchvision's, which computes the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        if torch.compiler.is_compiling():
            return super().forward(x)  # type: ignore[no-any-return]
        output = compute(x, [self.conv1, self.bn1, self.relu])
        output = compute(output, [self.conv2, self.bn2])
        if self.downsample is not None:
            x = compute(x, list(self.downsample))
        if is_relu(self.relu) and add_relu.takes(output, x):
            return add_relu.add_relu(output, x)
        output += x
        return self.relu(output)  # type: ignore[no-any-return]


class ResNet(resnet.ResNet):  # type: ignore[misc]
    """torchvision's, which computes the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        if torch.compiler.is_compiling():
            return super().forward(x)  # type: ignore[no-any-return]
        maps = self.maxpool(compute(x, [self.conv1, self.bn1, self.relu]))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = layer(maps)
        return self.fc(torch.flatten(self.avgpool(maps), 1))  # type: ignore[no-any-return]
