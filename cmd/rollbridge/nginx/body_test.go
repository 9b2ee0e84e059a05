package nginx

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const gigabyte = 1 << 30

// On spooling nginx keeps uploads on disk, on direct it leaves downloads with the
// application.
var (
	spooling = variant("spooling", shop, "proxy_request_buffering off;", "proxy_request_buffering on;")
	direct   = variant("direct", shop, "proxy_max_temp_file_size 1024m;", "proxy_max_temp_file_size 0;")
)

func TestUploadsFlowThrough(t *testing.T) {
	for _, c := range []struct {
		site  *site
		size  int64
		sized bool
	}{
		{shipped, gigabyte, true},
		{unixSocket, gigabyte / 8, false},
		{spooling, gigabyte / 8, true},
	} {
		daemon := mainPID(t, c.site.in.unit())
		body := &upload{left: c.size, sum: sha256.New()}
		var spooled []string
		body.halfway = func() { spooled = onDisk(t, append(workers(t), daemon)...) }
		began := time.Now()
		answer := body.send(t, c.site, c.sized)
		memory := peakMemory(t, daemon)
		t.Logf("%s: %d MB in %v, the daemon has had at most %d MB", c.site.name, c.size>>20, time.Since(began).Round(time.Millisecond), memory>>20)
		if want := fmt.Sprintf("%d bytes %s\n", c.size, digest(body.sum)); answer != want {
			t.Errorf("%s: answered %q, want %q", c.site.name, answer, want)
		}
		if memory > 100<<20 {
			t.Errorf("%s: the daemon has needed %d MB", c.site.name, memory>>20)
		}
		if (len(spooled) > 0) != (c.site == spooling) {
			t.Errorf("%s: on disk in the middle of the upload: %q", c.site.name, spooled)
		}
	}
}

// upload is a body that does not repeat itself.
type upload struct {
	left    int64
	sum     hash.Hash
	halfway func()
	piece   []byte
	number  uint64
	half    int64
}

// Read fills p with a further part.
func (u *upload) Read(p []byte) (int, error) {
	if u.left == 0 {
		return 0, io.EOF
	}
	if u.left <= u.half && u.halfway != nil {
		u.halfway()
		u.halfway = nil
	}
	n := int(min(int64(len(p)), u.left))
	for at := 0; at < n; at += 4096 {
		u.number++
		binary.LittleEndian.PutUint64(u.piece, u.number)
		copy(p[at:n], u.piece)
	}
	u.sum.Write(p[:n])
	u.left -= int64(n)
	return n, nil
}

// send uploads it and returns the answer.
func (u *upload) send(t *testing.T, s *site, sized bool) string {
	t.Helper()
	u.half, u.piece = u.left/2, make([]byte, 4096)
	req, err := http.NewRequest("POST", s.url("/upload"), u)
	if err != nil {
		t.Fatal(err)
	}
	if sized {
		req.ContentLength = u.left
	}
	transport := &http.Transport{DisableKeepAlives: true, WriteBufferSize: 1 << 20}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func digest(sum hash.Hash) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)) + ":"
}

// onDisk is the files that processes have open and that are neither logs nor the
// daemon's state.
func onDisk(t *testing.T, pids ...int) (files []string) {
	t.Helper()
	for _, pid := range pids {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil || len(fds) == 0 {
			t.Fatalf("no open files of %d: %v", pid, err)
		}
		for _, fd := range fds {
			file, _ := os.Readlink(fd)
			if strings.HasPrefix(file, "/") && !slices.ContainsFunc([]string{"/var/log/", "/var/lib/rollbridge/", "/run/", "/dev/", "/proc/", "/sys/"},
				func(dir string) bool { return strings.HasPrefix(file, dir) }) {
				files = append(files, file)
			}
		}
	}
	return files
}

// peakMemory is the most memory that a process has had.
func peakMemory(t *testing.T, pid int) (bytes int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nVmHWM:")
	if _, err := fmt.Sscanf(rest, "%d kB", &bytes); err != nil {
		t.Fatal(err)
	}
	return bytes << 10
}

func TestDownloadsArriveWhole(t *testing.T) {
	daemon := mainPID(t, shop.unit())
	began := time.Now()
	res, err := client.Get(shipped.url(fmt.Sprintf("/big?bytes=%d", gigabyte/4)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{res.Body}, make([]byte, 1<<20))
	memory := peakMemory(t, daemon)
	t.Logf("%d MB in %v, the daemon has had at most %d MB", n>>20, time.Since(began).Round(time.Millisecond), memory>>20)
	if want := res.Header.Get("Content-Digest"); err != nil || n != gigabyte/4 || digest(sum) != want {
		t.Errorf("%d bytes came, %v; digest %s, want %s", n, err, digest(sum), want)
	}
	if memory > 100<<20 {
		t.Errorf("the daemon has needed %d MB", memory>>20)
	}
}

// TestSlowClientsDoNotDelayADeploy has a client that reads slower than a retired
// release may take.
func TestSlowClientsDoNotDelayADeploy(t *testing.T) {
	for _, s := range []*site{shipped, direct} {
		res, err := client.Get(s.url("/big?bytes=67108864"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if s == shipped {
			eventually(t, "nginx has taken the answer", func() bool { return shop.active(t).ConnectionCount == 0 })
		}
		next := map[string]string{"v1": "v2", "v2": "v1"}[shop.active(t).ReleaseID]
		if err := shop.deploy(next); err != nil {
			t.Fatal(err)
		}
		eventually(t, "only the new release is there", func() bool { return shop.only(next) })
		sum := sha256.New()
		n, err := io.Copy(sum, res.Body)
		if s == direct {
			if err == nil {
				t.Error("an answer that is longer than the drain came whole")
			}
			s.awaitSaid(t, "upstream prematurely closed connection while reading upstream")
		} else if want := res.Header.Get("Content-Digest"); err != nil || digest(sum) != want {
			t.Errorf("%d bytes came, %v; digest %s, want %s", n, err, digest(sum), want)
		}
	}
}
