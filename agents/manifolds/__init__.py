"""From videos to the VAE and back: crops, samples in real frames, what samples are worth."""
