"""Results on stdout and progress, logs and errors on stderr, for people and for scripts."""
