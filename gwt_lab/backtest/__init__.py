"""From weights or signals to a result: kernels and Portfolio."""
