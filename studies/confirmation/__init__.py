"""After the search: the best of each choice on fresh seeds, then the test images, once."""
