"""A broker of our own: the real Redis that a package ships, as a child process on a Unix socket."""
