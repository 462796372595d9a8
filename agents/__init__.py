"""Agents of the search and their applications: Algorithm 1, evaluation, hard positives, the command line.

Importing this package imports no torch; each name of `__init__.pyi` is loaded on first use.
"""

import warnings
from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


_RENAMED = {
    "Comparison": "agents.MethodComparison",
    "PatchPolicy": "a policy or an agents.policies.rollout.Agent",
    "Setup": "occlusion_env.load_networks(arguments)",
    "begin_all": "occlusion_env.Search.begin_random",
    "find_hard_positives": "agents.HardPositiveGenerator(...).of_targets",
}
"""Names of the last version, and what stands for each now."""


def __getattr__(name: str) -> Any:
    """Load a public name on first use; a name of the last version comes with a warning."""
    if name not in _RENAMED:
        return _load(name)
    from . import former

    warnings.warn(
        f"agents.{name} is now {_RENAMED[name]}; the old name goes in the next version.",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(former, name)
