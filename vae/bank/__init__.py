"""A folder of models, one for each video."""

from .bank import CHECKPOINT_NAME, CODES_NAME, FAILURES_NAME, RECORD_NAME, VAEBank
from .record import BankRecord, BankReport

__all__ = [
    "CHECKPOINT_NAME",
    "CODES_NAME",
    "FAILURES_NAME",
    "RECORD_NAME",
    "BankRecord",
    "BankReport",
    "VAEBank",
]
