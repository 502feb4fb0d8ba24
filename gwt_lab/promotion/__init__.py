"""Results in, verdict and signed bundle out."""
