"""Pure logic of the pack on torch and numpy: nothing in here imports ComfyUI."""
