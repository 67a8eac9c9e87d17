"""The one error a user is meant to read."""


class ZoetropeError(Exception):
    """Something the user can fix: says in one line what was wrong, where, and what to do. The doors exit with code 2."""
