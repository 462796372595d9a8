"""The errors this package raises for bad input."""


class VAEError(ValueError):
    """Bad images, codes, configuration or files; the message is one sentence that says what to change."""


class CheckpointError(VAEError):
    """A checkpoint that is damaged, of another training, or further on than is asked for."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that cannot be read, or whose content is not what was written."""
