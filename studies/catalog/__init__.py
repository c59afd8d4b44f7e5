"""The studies, one file each; a file's name is the name that the command line takes."""
