"""A person at the keyboard as a policy."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlusion_env.mdp.actions import ACTIONS, KEYS
from tracker.errors import InputError

HELP = ", ".join(f"{'space' if key == ' ' else key} {action}" for key, action in zip(KEYS, ACTIONS, strict=True))
"""The key of each action, as text."""

_WINDOWLESS = ("dummy", "offscreen")
"""Video drivers of SDL that show nothing; SDL takes `offscreen` where there is no display."""
_POLL = 100
"""Milliseconds between two checks for Ctrl-C."""


class WindowClosed(Exception):
    """The window was closed, or Escape was pressed."""


class Keyboard:
    """Takes the action whose key is pressed, in an environment with the render mode `human`.

    Raises:
        InputError: If pygame is not installed, or there is no display.
    """

    observation_space = None
    """Any."""

    def __init__(self) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # printed to the standard output
        try:
            import pygame
        except ImportError:
            raise InputError("Playing needs pygame: pip install 'occlusion-search[play]'.") from None
        try:
            pygame.display.init()
            shown = "SDL_VIDEODRIVER" in os.environ or pygame.display.get_driver() not in _WINDOWLESS
        except pygame.error:
            shown = False
        if not shown:
            raise InputError("There is no display to play on; run it in a desktop session, or over `ssh -X`.")
        self._pygame = pygame
        self._actions = {ord(key): action for action, key in enumerate(KEYS)}

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[np.int64, tuple[NDArray[Any], ...] | None]:
        """Wait for the key of an action; the arguments are ignored.

        Raises:
            WindowClosed: If the window is closed or Escape is pressed.
        """
        pygame = self._pygame
        pygame.display.set_caption(HELP)
        while True:
            event = pygame.event.wait(_POLL)
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                raise WindowClosed
            if event.type == pygame.WINDOWEXPOSED:
                pygame.display.flip()
            if event.type == pygame.KEYDOWN and event.key in self._actions:
                return np.int64(self._actions[event.key]), state
