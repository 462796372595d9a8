"""The command `export-agent`."""

from __future__ import annotations

from pathlib import Path

import tyro

from ..shared import Allow, command_line

__all__ = ["export_agent"]


def export_agent(
    run: tyro.conf.Positional[Path],
    out: Path = Path("agent.safetensors"),
    allow: Allow = (),
) -> None:
    """Write a trained dqn as safetensors with a card, for those who would not load a stranger's pickle.

    `occlusion-search evaluate --agent FILE.safetensors` and `agents.policies.pretrained.load_pretrained` read it.

    Args:
        run: Folder of a run of `train`; the agent is that of `evaluate` and `enjoy`: best_model.zip where the run
            has one. It is pickled, and loading it runs what is in it: give a run whose origin you trust.
        out: NAME.safetensors.
        allow: Names of your own code that the run may hold; files may name built-in things only.
    """
    from tracker.errors import InputError

    from ...common.output import check_file
    from ...policies.loading import load_policy
    from ...policies.pretrained import save_pretrained
    from ...training.runs import RunFolder

    if out.suffix != ".safetensors":
        raise InputError(f"'{out}' cannot be written; give NAME.safetensors in a folder that exists.")
    for file in (out, out.with_suffix(".json")):
        check_file(file, run, option="--out")
    found = RunFolder.open(run)
    config = found.config()
    file = found.agent_file()
    loaded = load_policy(file, device="cpu", allowed=allow)
    assert loaded.environment is not None
    recipe = {name: value for name, value in config.items() if name not in ("env_kwargs", "policy_kwargs")}
    card = {
        "algo": found.algo,
        "model": file.name,
        "steps": loaded.policy.num_timesteps,
        "recipe": recipe,
        "command": command_line(),
    }
    save_pretrained(out, loaded.policy, loaded.environment, card)
    print(f"The agent of {file.name} is in {out}, its card beside it.")
