"""Tasks of other people's benchmark suites behind our one `Task` contract; each suite is an extra of its own."""
