package nginx

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// A site is the shipped one, edited.
type site struct {
	name string
	in   *instance // behind it
	port int       // where nginx listens
	text string
	err  error // of an edit that did not apply
}

// shippedFile is the site as it comes, which is for the instance shop.
const shippedFile = repository + "/packaging/nginx/rollbridge.conf"

var (
	shipped  = readSite(shippedFile)
	sites    []*site
	nextPort atomic.Int32
)

// readSite is the shipped site, installed without a change.
func readSite(file string) *site {
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		err = nil // outside
	}
	return &site{"shipped", shop, 80, string(text), err}
}

// variant is a further site, like the shipped one but for its instance and edits,
// each an old text and the new. It has its own port and error log.
func variant(name string, in *instance, edits ...string) *site {
	s := &site{name, in, 8000 + int(nextPort.Add(1)), shipped.text, nil}
	s.edit("server 127.0.0.1:8182;", "server "+in.listen+";")
	s.edit("rollbridge_shop", "rollbridge_"+name)
	s.edit("\tlisten 80;\n\tlisten [::]:80;\n", fmt.Sprintf("\tlisten %d;\n\terror_log %s;\n", s.port, s.errorLog()))
	s.edit("Host              $host;", "Host              $host:$server_port;")
	for i := 0; i < len(edits); i += 2 {
		s.edit(edits[i], edits[i+1])
	}
	sites = append(sites, s)
	return s
}

func (s *site) edit(old, with string) {
	if !strings.Contains(s.text, old) {
		s.err = errors.Join(s.err, fmt.Errorf("site %s: nothing to edit: %q", s.name, old))
	}
	s.text = strings.ReplaceAll(s.text, old, with)
}

// commented is a setting, in contrast to a comment with words.
var commented = regexp.MustCompile(`(?m)^(\t*)#([^ \n])`)

// uncomment has all settings hold that are commented out.
func (s *site) uncomment() { s.text = commented.ReplaceAllString(s.text, "$1$2") }

func (s *site) errorLog() string {
	if s == shipped {
		return "/var/log/nginx/error.log"
	}
	return "/var/log/nginx/" + s.name + ".log"
}

// prepareSites installs all sites as people do, beside nginx's own default.
func prepareSites() error {
	if err := shell("cp " + shippedFile + " /etc/nginx/sites-available/shop && ln -s ../sites-available/shop /etc/nginx/sites-enabled/"); err != nil {
		return err
	}
	for _, s := range sites {
		if s.err != nil {
			return s.err
		}
		if err := os.WriteFile("/etc/nginx/sites-enabled/"+s.name, []byte(s.text), 0o644); err != nil {
			return err
		}
	}
	return shell("nginx -t")
}

// url is that of a path on the site.
func (s *site) url(path string) string { return fmt.Sprintf("http://%s:%d%s", host, s.port, path) }

// said is what nginx has logged about the site.
func (s *site) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.errorLog())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// awaitSaid waits for a message in the error log.
func (s *site) awaitSaid(t *testing.T, message string) {
	t.Helper()
	var said string
	eventually(t, fmt.Sprintf("nginx logs %q", message), func() bool {
		said = s.said(t)
		return strings.Contains(said, message)
	})
	for line := range strings.Lines(said) {
		if strings.Contains(line, message) {
			t.Logf("nginx: %s", line)
			break
		}
	}
}

// get asks for a path and returns status and body, as far as it came.
func (s *site) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	res, body, err := s.ask(path)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}
