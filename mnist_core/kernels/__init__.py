"""Machine code of our own for what torch computes slowly; made by LLVM in the process itself."""
