"""Training one model, or one for each of many videos."""
