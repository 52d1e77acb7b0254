"""What is raised for a module that cannot be traced."""


class UntraceableError(ValueError):
    """The module cannot be turned into a topology; the message names the operation or module path and what to do."""
