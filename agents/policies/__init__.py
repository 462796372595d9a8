"""Policies, methods that find a region, and how to load them.

- `rollout.Policy` maps observations to actions: the `predict` of Stable-Baselines3.
- `methods.Method` finds a region for each search of a batch (`find`). `rollout.Agent` is a policy as a method: it
  plays each search to its end (`roll_out`). `baselines.Querying` and `belief.BeliefSearch` query the scorer.
- `baselines.Proposer` says which regions a `Querying` scores next; it sees the scores of the earlier ones.

`loading.load_policy` loads a trained policy from a file, with its training environment; `loading.load_agent` makes
an `Agent` of it; `methods.as_method` takes a name, an agent or a policy. `baselines.Steering` makes a query method
a policy, so that it can be compared move by move.
"""
