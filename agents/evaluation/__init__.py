"""Methods compared at equal scorer queries: comparison, summary, leak checks."""
