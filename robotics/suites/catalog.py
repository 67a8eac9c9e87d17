"""All tasks of all suites, by name; nothing of a suite is loaded before one of its tasks is made."""

from __future__ import annotations

from robotics.suites import metaworld, reacher
from robotics.suites.suite import SuiteTask

TASKS: dict[str, SuiteTask] = {task.name: task for task in (*metaworld.TASKS, *reacher.TASKS)}
