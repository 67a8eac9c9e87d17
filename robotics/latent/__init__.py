"""Planning in latents: a joint-embedding predictive model of a task, planners over it, and inverse dynamics instead of them."""

ABOUT = {"push_latent": "plans towards pictures of goals in the latents of push (zoetrope robot plan)"}
"""The latent models by name, a line of each; their recipes are YAML files in configs/."""
