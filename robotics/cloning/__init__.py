"""Behaviour cloning: policies that see pictures, trained on demonstrations, and what generated ones are worth to them."""
