package nginx

const (
	http11     = "\tproxy_http_version 1.1;\n"
	connection = "\tproxy_set_header Connection $connection_upgrade;\n"
)

var (
	closing = variant("closing", "127.0.0.1:8182", connection, "")
	bursts  = variant("bursts", "127.0.0.1:8182", http11, "proxy_ignore_headers X-Accel-Buffering;")
	zipped  = variant("zipped", "127.0.0.1:8182", http11, http11+"gzip on; gzip_types text/event-stream; gzip_http_version 1.0; gzip_min_length 0; gzip_proxied any;")
)
