"""ResNet with basic blocks, and the stem for 32x32 images beside the one for photographs.

He et al., "Deep Residual Learning for Image Recognition" (2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import unified.nn.functional as F
from unified import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a residual connection: ``(N, C, H, W) -> (N, channels, H / stride, W / stride)``.

    Args:
        in_channels: C.
        channels: those of the result.
        stride: of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)  # batch norm has the bias
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """``x (N, C, H, W)``, projected where its shape changes, and what the block adds to it."""
        identity = x if self.downsample is None else self.downsample(x)
        hidden = F.relu(self.bn1(self.conv1(x)))
        output: Tensor = F.relu(self.bn2(self.conv2(hidden)) + identity)
        return output


class ResNet(nn.Module):
    """Class logits of images: ``(N, 3, H, W) -> (N, classes)``. Parameters have torchvision's names.

    Args:
        blocks: number of blocks in each of the four stages; ``(2, 2, 2, 2)`` is ResNet-18.
        classes: number of logits.
        small_images: a 3x3 stem without pooling, for 32x32 images such as CIFAR's, in the place of the 7x7 one.
        width: channels of the first stage.

    Example:
        >>> model = ResNet.resnet18(classes=10, small_images=True)
        >>> model(un.zeros(4, 3, 32, 32)).shape
        unified.Size([4, 10])
    """

    def __init__(
        self, blocks: Sequence[int], classes: int = 1000, small_images: bool = False, width: int = 64
    ) -> None:
        super().__init__()
        kernel, stride = (3, 1) if small_images else (7, 2)
        self.conv1 = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._stage(width, width, blocks[0], 1)
        self.layer2 = self._stage(width, 2 * width, blocks[1], 2)
        self.layer3 = self._stage(2 * width, 4 * width, blocks[2], 2)
        self.layer4 = self._stage(4 * width, 8 * width, blocks[3], 2)
        self.fc = nn.Linear(8 * width, classes)

    @classmethod
    def resnet18(cls, classes: int = 1000, small_images: bool = False) -> ResNet:
        """The one with 18 layers that have weights."""
        return cls((2, 2, 2, 2), classes, small_images)

    @staticmethod
    def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        rest = [BasicBlock(channels, channels) for _ in range(blocks - 1)]
        return nn.Sequential(BasicBlock(in_channels, channels, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``x (N, 3, H, W)``."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits
