"""The networks, the agent and the prior of the page."""

from __future__ import annotations

from dataclasses import dataclass, replace

from occlusion_env.envs.arguments import SearchArguments
from occlusion_env.envs.building import Networks, load_networks
from occlusion_env.mdp.settings import SearchSettings

from ..policies.belief import FittedPrior, shipped_prior
from ..policies.loading import load_agent
from ..policies.pretrained import PRETRAINED
from ..policies.rollout import Agent


@dataclass(frozen=True)
class Models:
    """The networks, the agent and the prior that all sessions share.

    Attributes:
        networks: The matcher and the network of the state.
        settings: Of the searches.
        agent: The agent that the package ships.
        fitted: The prior that the package ships for the matcher.
    """

    networks: Networks
    settings: SearchSettings
    agent: Agent
    fitted: FittedPrior

    @classmethod
    def load(cls, device: str = "auto") -> Models:
        """Load the networks, the agent and the prior that the package ships.

        Args:
            device: Where the networks run.
        """
        arguments = SearchArguments(device=device)
        networks = load_networks(arguments)
        fitted = shipped_prior(networks.scorer, arguments.settings.limits)
        assert fitted is not None
        agent = replace(load_agent(PRETRAINED, device=device), name="agent")
        return cls(networks, arguments.settings, agent, fitted)
