package proxy

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
)

// rewrite makes of the request of the client the one for the upstream, once
// the hop-by-hop headers are gone.
func (v *visit) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL = targetURL(v.target)
	r.Out.Host = r.In.Host
	r.Out.Trailer = r.In.Trailer // the same map, since it fills when the body has ended
	if forwarded := r.In.Header.Values("Forwarded"); len(forwarded) > 0 {
		r.Out.Header["Forwarded"] = forwarded
	}
	v.setForwarded(r.Out.Header, r.In)
}

// originForm is a request target without scheme and host, else byte for byte.
func originForm(target string) string {
	if strings.HasPrefix(target, "/") || target == "*" {
		return target
	}
	_, rest, _ := strings.Cut(target, "://")
	i := strings.IndexAny(rest, "/?")
	if i < 0 {
		return "/"
	}
	if rest[i] == '?' {
		return "/" + rest[i:]
	}
	return rest[i:]
}

// isAmbiguous reports whether net/http would take target for a host and a path.
func isAmbiguous(target string) bool { return strings.HasPrefix(target, "//") }

// targetURL is a URL of which net/http writes target into the request line, or
// a placeholder for upstreamConn to replace.
func targetURL(target string) *url.URL {
	if isAmbiguous(target) {
		target = placeholder
	}
	return &url.URL{Scheme: "http", Opaque: target}
}

// peer is who sent a request.
type peer struct {
	addr    netip.Addr // not valid for a Unix socket
	trusted bool       // its X-Forwarded-* are kept
}

func (p *Proxy) peerOf(r *http.Request) peer {
	_, onUnix := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr)
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || onUnix { // where a peer may be bound to any text
		return peer{trusted: true}
	}
	addr := ap.Addr().Unmap()
	for _, prefix := range p.options.Load().TrustedProxies {
		if prefix.Contains(addr.WithZone("")) {
			return peer{addr, true}
		}
	}
	return peer{addr, false}
}

// setForwarded says who asked for what, in the X-Forwarded-* of out.
func (v *visit) setForwarded(out http.Header, in *http.Request) {
	if chain := v.forwardedFor(in.Header); chain != "" {
		out.Set("X-Forwarded-For", chain)
	}
	v.keepOrSet(out, in, "X-Forwarded-Host", in.Host)
	v.keepOrSet(out, in, "X-Forwarded-Port", portOf(in.Host))
	v.keepOrSet(out, in, "X-Forwarded-Proto", v.scheme())
}

func (v *visit) forwardedFor(in http.Header) string {
	var chain []string
	if v.peer.trusted {
		chain = append(chain, in.Values("X-Forwarded-For")...)
	}
	if v.peer.addr.IsValid() {
		chain = append(chain, v.peer.addr.String())
	}
	return strings.Join(chain, ", ")
}

func (v *visit) keepOrSet(out http.Header, in *http.Request, name, value string) {
	if given := in.Header.Values(name); v.peer.trusted && len(given) > 0 {
		out[name] = given
		return
	}
	out.Set(name, value)
}

func (v *visit) scheme() string {
	if v.kind == webSocket {
		return "ws"
	}
	return "http"
}

func portOf(host string) string {
	if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
		return port
	}
	return "80"
}
