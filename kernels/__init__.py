"""Triton kernels, each beside its PyTorch reference. Imports nothing of ours.

Every file has `reference` in plain PyTorch, `kernel` in Triton, and one public function that picks: the kernel for tensors on a
GPU, the reference anywhere else. `python -m kernels.bench` measures them.
"""
