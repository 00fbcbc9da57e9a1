"""The only place that touches ComfyUI's internals."""
