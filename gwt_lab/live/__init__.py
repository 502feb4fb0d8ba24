"""From a bundle and a feed to orders."""
