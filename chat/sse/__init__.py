"""Server-sent events: the reply as a stream of an HTTP answer."""
