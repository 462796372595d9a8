"""Videos and their annotations: boxes, images, sequences, readers, drawn videos."""
