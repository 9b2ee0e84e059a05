// Package integration runs the checks of package acceptance once more: in test
// hosts, with every version of systemd. Its tests are theirs:
//
//	go test ./cmd/rollbridge/integration -run 'TestName' -v
package integration
