"""What stands between one request and the whims of upstreams: policies without I/O, and the sources that ask them."""
