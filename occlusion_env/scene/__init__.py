"""The targets, what occludes them, distractors, and the scene with a known answer."""
