"""The report of a benchmark: plots, pictures and the page."""
