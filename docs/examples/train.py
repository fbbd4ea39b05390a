"""Learns which quadrants of the plane are alike. Nothing in it names a backend; the flag does.

unified run docs/examples/train.py --backend jax
"""

from __future__ import annotations

import unified as un
import unified.nn.functional as F
from unified import nn, optim

un.manual_seed(0)
points = un.rand(512, 2) * 2 - 1
labels = (points[:, 0] * points[:, 1] > 0).to(un.int32)

model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2))
optimizer = optim.AdamW(model.parameters(), lr=1e-2)


@un.compile
def step(x: un.Tensor, y: un.Tensor) -> un.Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.detach()


for epoch in range(201):
    loss = step(points, labels)
    if epoch % 50 == 0:
        print(f"{un.get_backend():>10}  epoch {epoch:3}  loss {loss.item():.4f}")
