"""The whole of Lambent, run once on this machine: every part real, from a log to pictures of what was predicted."""
