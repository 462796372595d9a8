"""The commands around the others: checks, priors, exports."""
