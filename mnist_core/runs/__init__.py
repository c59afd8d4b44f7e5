"""The folder that a training of the command line leaves: writing, reading and finding it."""
