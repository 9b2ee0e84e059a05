// Package hosted tests gates under a real systemd, with units made by hand.
package hosted
