package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// healthError is why a release did not pass the health gate.
type healthError struct {
	url   string
	cause error
}

func (e *healthError) Error() string {
	return fmt.Sprintf("Health check failed for %s: %v", e.url, e.cause)
}
func (e *healthError) Unwrap() error { return e.cause }

func (e *healthError) hint() string {
	if _, ok := errors.AsType[*processError](e.cause); ok {
		return "traffic has not moved; what the process wrote last, if anything, stands above"
	}
	return "traffic has not moved; see health.path, health.timeoutMs and what the process answers there"
}

// awaitHealthy is the gate before the switch: the web process answers 2xx on
// its health path in time, it has not ended meanwhile, and it is the one that
// listens on the port.
func (s *Supervisor) awaitHealthy(op *operation, r *release) error {
	spec := r.web.Spec()
	health := r.config.Process(spec.Process).Health
	if health == nil {
		return nil
	}
	st, _ := r.web.Watch()
	check := &healthCheck{started: st.StartedAt, probe: s.opt.Probe, web: r.web, settings: *health, url: healthURL(r.config, spec.Port, health)}
	op.step("health", "GET %s", check.url)
	if err := check.gate(op.ctx); err != nil {
		if cancelled := context.Cause(op.ctx); cancelled != nil {
			return cancelled
		}
		return &healthError{check.url, err}
	}
	s.prove(r, check.started)
	return s.checkOwner(r, spec.Port)
}

func healthURL(cfg *config.Config, port int, health *config.Health) string {
	return "http://" + net.JoinHostPort(cfg.Proxy.UpstreamHost, portText(port)) + health.Path
}

// checkOwner makes sure that it was this release's own process that answered.
func (s *Supervisor) checkOwner(r *release, port int) error {
	addr, err := upstreamAddr(r.config.Proxy.UpstreamHost, port)
	if err == nil {
		var owner runner.Listener
		switch owner, err = r.web.Listens(addr); {
		case owner == runner.Own:
			return nil
		case owner == runner.Foreign:
			return &processError{process: r.web, cause: fmt.Errorf("port %d is served by another process, not by this release", port)}
		}
	}
	message := fmt.Sprintf("it could not be made sure that the listener on port %d is its own", port)
	if err != nil {
		message += ": " + err.Error()
	}
	r.warn(r.web.Spec().Instance, message)
	return nil
}

// upstreamAddr is the address the web process listens on.
func upstreamAddr(host string, port int) (netip.AddrPort, error) {
	resolved, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, portText(port)))
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr := resolved.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}

// healthCheck asks one web process for its health.
type healthCheck struct {
	probe    func(context.Context, string) error
	web      runner.Process
	started  time.Time // of the instance to ask
	settings config.Health
	url      string
}

// gate waits for the first healthy answer. It fails as soon as the process
// ends, and when the time is over, which starts after the start delay.
func (c *healthCheck) gate(ctx context.Context) error {
	ctx, stop := c.untilExit(ctx)
	defer stop(nil)
	if !wait(ctx, c.settings.StartDelay) {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, c.settings.Timeout)
	defer cancel()
	return c.untilHealthy(ctx)
}

// untilHealthy tries until an answer is healthy or ctx ends; then it says why
// the last attempt was not. At least one attempt is made.
func (c *healthCheck) untilHealthy(ctx context.Context) error {
	for {
		err := c.probe(ctx, c.url)
		if err == nil && ctx.Err() == nil {
			return nil
		}
		if ctx.Err() == nil && wait(ctx, c.settings.Interval) {
			continue
		}
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
			return cause
		}
		return c.timeoutError(err)
	}
}

// timeoutError says what stood in the way of the last attempt.
func (c *healthCheck) timeoutError(last error) error {
	if last == nil || errors.Is(last, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", c.settings.Timeout)
	}
	return last
}

// untilExit derives a context that ends when the process that runs now ends,
// with that as its cause.
func (c *healthCheck) untilExit(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	st, changed := c.web.Watch()
	go func() {
		for {
			if err := endOf(c.web, st, c.started); err != nil {
				cancel(err)
				return
			}
			select {
			case <-changed:
				st, changed = c.web.Watch()
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}

// endOf tells how the instance started at that time ended, or nil while it runs.
func endOf(p runner.Process, st runner.Status, started time.Time) error {
	switch {
	case st.State == runner.Running && st.StartedAt.Equal(started):
		return nil
	case st.State == runner.Running || st.State == runner.Starting:
		return &processError{process: p, cause: errors.New("ended before it was healthy and was started again")}
	}
	return &processError{process: p, cause: fmt.Errorf("%s before it was healthy", lastFailure(st))}
}

// wait waits for d; it reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// healthClient asks over a fresh connection each time, past any proxy of the
// environment, and takes a redirect for the answer it is.
var healthClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// probeHTTP makes one health check: nil for a 2xx answer.
func probeHTTP(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "*/*")
	req.Header.Set("User-Agent", "rollbridge-health")
	res, err := healthClient.Do(req)
	if err != nil {
		return plainError(err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // an answer cut short is the application's to log, not a failure
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("HTTP %d", res.StatusCode)
	}
	return nil
}

// plainError takes away the method and URL that the HTTP client puts in front.
func plainError(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
