"""Output folders, processes, pictures and versions, which every room uses."""
