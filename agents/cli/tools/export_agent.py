"""The command `export-agent`."""

from __future__ import annotations

from pathlib import Path

from tracker.errors import InputError

from ...common.results import command_line
from ..shared import Allow


def export_agent(
    agent: Path,
    out: Path = Path("agent.safetensors"),
    allow: Allow = (),
) -> None:
    """Write a trained DQN as safetensors with a card.

    The file holds no pickle. `evaluate`, `enjoy` and `generate` take it as --agent, and
    `agents.policies.pretrained.load_pretrained` reads it.

    Args:
        agent: Folder of a run of `train`; its best_model.zip is exported where there is one, else its last agent.
            Both are pickles: loading one executes code, so give only runs that you trust.
        out: NAME.safetensors.

    Examples:
        occlusion-search export-agent --agent logs/dqn/OcclusionSearch-v0_1
        occlusion-search export-agent --agent logs/dqn/OcclusionSearch-v0_1 --out mine.safetensors
    """
    from ...common.output import check_file
    from ...policies.loading import load_policy
    from ...policies.pretrained import save_pretrained
    from ...training.runs import RunFolder

    if out.suffix != ".safetensors":
        raise InputError(f"'{out}' cannot be written; give NAME.safetensors in a folder that exists.")
    for file in (out, out.with_suffix(".json")):
        check_file(file, agent, option="--out")
    run = RunFolder.open(agent)
    config, file = run.config(), run.agent_file()
    loaded = load_policy(file, device="cpu", allowed=allow)
    assert loaded.environment is not None
    recipe = {name: value for name, value in config.items() if name not in ("env_kwargs", "policy_kwargs")}
    card = {"algo": run.algo, "model": file.name, "steps": loaded.policy.num_timesteps, "recipe": recipe}
    save_pretrained(out, loaded.policy, loaded.environment, card | {"command": command_line()})
    print(f"The agent of {file.name} is in {out}, its card beside it.")
