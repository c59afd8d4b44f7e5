"""Why a file cannot be read, in words that say what to do about it."""

import errno

AGAIN = "copy, download or save it again"
_WORDS = {
    errno.EACCES: "you may not read it; give yourself the right to, e.g. by chmod u+r",
    errno.EPERM: "you may not read it; give yourself the right to, e.g. by chmod u+r",
    errno.EISDIR: "Is a directory, but must be a file; rename or move it",
    errno.EINVAL: "it is a pipe or a device, but must be a file",
    errno.ENOENT: f"No such file or directory, or it is a link to nothing; {AGAIN}",
}


def is_refusal(error: Exception) -> bool:
    """Return whether the operating system did not let a file be read: not damage in it."""
    # EINVAL comes of a jump to a place before the first byte, which damaged files ask for.
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def refused(error: OSError) -> str:
    """Return why the operating system did not let a file be read, and what to do."""
    words = _WORDS.get(error.errno or 0) or f"{error.strerror or error}; {AGAIN}"
    return f"cannot be read: {words}"


def damaged(form: str, error: Exception) -> str:
    """Return that a file holds no whole ``form``, e.g. ``a CSV table``, and what to do."""
    said = " ".join(str(error).split()) or type(error).__name__
    return f"cannot be read as {form}: it is damaged or cut off ({said}); {AGAIN}"


def empty(form: str) -> str:
    """Return that a file is empty, and what to do."""
    return f"is empty, but must hold {form}; {AGAIN}"
