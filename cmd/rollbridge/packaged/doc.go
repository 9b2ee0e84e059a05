// Package packaged checks what users get: the Debian package, installed on
// hosts with systemd 252 and 257 that know nothing of rollbridge, its sockets,
// its daemon, its upgrade and its removal.
package packaged
