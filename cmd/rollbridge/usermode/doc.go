// Package usermode holds the checks of a daemon that is not root: its processes
// are kept running by the systemd of a user. They run the built program inside
// test hosts, as the user app. That systemd may also be unusable, for root and
// for users, belongs here too.
package usermode
