package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// ListenTCP listens on addr, "host:port". The host is an address or a name;
// 0.0.0.0 is all of IPv4, [::] and no host all of IPv6 and IPv4. Port 0 takes a
// free one. A port whose former connections still linger can be bound again.
// The error is an *Error.
func ListenTCP(addr string) (*Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // a plain socket: readable by sock_diag, can be handed on
	l, err := config.Listen(context.Background(), networkOf(addr), addr)
	if err != nil {
		return nil, tcpError(addr, err)
	}
	return newListener(l.(*net.TCPListener)), nil
}

// networkOf keeps an IPv4 address to IPv4, since for "tcp" 0.0.0.0 means the
// same as [::].
func networkOf(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err == nil && ap.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

func tcpError(addr string, err error) *Error {
	code, reason := codeOf(err), reasonOf(err)
	var dns *net.DNSError
	var bad *net.AddrError
	switch {
	case errors.As(err, &dns):
		code, reason = "ENOTFOUND", dns.Err
	case errors.As(err, &bad):
		code, reason = "EINVAL", bad.Err
	case code == "":
		code = "EINVAL"
	}
	return &Error{
		Code:    code,
		Message: fmt.Sprintf("listen %s: %s %s", code, reason, addr),
		Hint:    tcpHint(code, addr),
		Err:     err,
	}
}

func tcpHint(code, addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	switch code {
	case "EADDRINUSE":
		return fmt.Sprintf("see who listens there with: ss -ltnp 'sport = :%s'; or set a different proxy.port", port)
	case "EADDRNOTAVAIL":
		return "no interface of this machine has that address; set a different proxy.host"
	case "EACCES":
		return "ports below 1024 need root or CAP_NET_BIND_SERVICE; set a higher proxy.port"
	case "ENOTFOUND":
		return "that name has no address here; set proxy.host to an address"
	case "EINVAL":
		return "give a host and a port between 0 and 65535"
	}
	return ""
}
