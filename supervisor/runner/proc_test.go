package runner

import (
	"net/netip"
	"os"
	"slices"
	"testing"
)

func TestStatLinesAreReadWhateverTheProgramIsCalled(t *testing.T) {
	rest := " 1 2 3 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0"
	for _, test := range []struct {
		line string
		want stat
		ok   bool
	}{
		{"42 (sh) S" + rest, stat{pid: 42, command: "sh", parent: 1, group: 2, session: 3, started: 777}, true},
		{"42 (a) b (c) Z" + rest, stat{pid: 42, command: "a) b (c", zombie: true, parent: 1, group: 2, session: 3, started: 777}, true},
		{"42 (first thread ended) Z 1 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 4 0 777", stat{pid: 42, command: "first thread ended", parent: 1, group: 2, session: 3, started: 777}, true},
		{"42 (sh) S 1 2", stat{}, false},
		{"42 (sh) S x" + rest, stat{}, false},
		{"", stat{}, false},
		{")(", stat{}, false},
	} {
		got, err := parseStat([]byte(test.line))
		if (err == nil) != test.ok || test.ok && got != test.want {
			t.Errorf("%q: %+v %v", test.line, got, err)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("42 (sh) S 1 2 3 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 777"))
	f.Fuzz(func(t *testing.T, line []byte) { _, _ = parseStat(line) })
}

func TestBothWaysToFindChildrenAgree(t *testing.T) {
	p := shell(t, `sleep 1000 & sleep 1000 & echo ready; wait`)
	p.start()
	p.says("ready")
	pid := p.Ref().PID
	byList, byTable := childrenOf(pid), childrenByTable(pid)
	slices.Sort(byList)
	slices.Sort(byTable)
	if len(byList) != 2 || !slices.Equal(byList, byTable) {
		t.Errorf("%v and %v", byList, byTable)
	}
	if !slices.Contains(childrenByTable(os.Getpid()), pid) {
		t.Error("our own child is missing")
	}
}

func TestTheClosestSocketGetsTheConnection(t *testing.T) {
	for _, test := range []struct {
		bound, wanted string
		want          match
	}{
		{"127.0.0.1:80", "127.0.0.1:80", exactly},
		{"[::ffff:127.0.0.1]:80", "127.0.0.1:80", exactly},
		{"127.0.0.1:80", "[::ffff:127.0.0.1]:80", exactly},
		{"127.0.0.1:80", "127.0.0.1:81", elsewhere},
		{"127.0.0.2:80", "127.0.0.1:80", elsewhere},
		{"0.0.0.0:80", "127.0.0.1:80", anyAddress},
		{"[::]:80", "127.0.0.1:80", anyFamily},
		{"[::]:80", "[::1]:80", anyAddress},
		{"0.0.0.0:80", "[::1]:80", elsewhere},
		{"[fe80::1]:80", "[fe80::1%eth0]:80", exactly},
	} {
		if got := matching(netip.MustParseAddrPort(test.bound), netip.MustParseAddrPort(test.wanted)); got != test.want {
			t.Errorf("bound to %s, wanted %s: %d, want %d", test.bound, test.wanted, got, test.want)
		}
	}
}

func FuzzSocketAddr(f *testing.F) {
	f.Add("0100007F:1F90")
	f.Add("00000000000000000000000001000000:0050")
	f.Fuzz(func(t *testing.T, s string) { parseSocketAddr(s) })
}
