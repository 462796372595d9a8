"""The corrupted frames of the stress test: moments, occluders, blur and deformation."""
