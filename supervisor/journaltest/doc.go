// Package journaltest checks on test hosts what is written to the journal and
// read back from it:
//
//	go test ./supervisor/journaltest -run 'TestName' -v
package journaltest
