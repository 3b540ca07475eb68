"""The crash laboratory: child processes that are traced, killed, cut off and made to fail."""
