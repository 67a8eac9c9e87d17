"""A trajectory and a video from one context (Epona, arXiv 2506.24113).

What a world remembers of the newest frames tells a small head where to drive, and the world itself what that looks like. The
trajectory alone needs no frame to be denoised or decoded.
"""
