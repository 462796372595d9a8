"""The one error this package raises for bad input."""


class VAEError(ValueError):
    """Bad images, codes, configuration or files; the message is one sentence that says what to change."""
