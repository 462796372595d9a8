"""The batched search: state arrays, observations, threshold, cache, the belief over regions."""
