"""The pack's own socket types."""

from comfy_api.latest import io

Attention = io.Custom("HRV_ATTENTION")
Vectors = io.Custom("HRV_VECTORS")
Heads = io.Custom("HRV_HEADS")
Source = io.Custom("HRV_SOURCE")
