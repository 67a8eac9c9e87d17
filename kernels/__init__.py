"""Triton kernels, each beside its PyTorch reference. Imports nothing of ours. Empty so far: the CPU is the first target."""
