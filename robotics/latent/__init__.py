"""Planning in latents: a joint-embedding predictive model of a task, planners over it, and inverse dynamics instead of them."""
