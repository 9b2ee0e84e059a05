package supervisor

import (
	"context"
	"net"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// holdWhileDown lets requests wait while the web process of an active release
// is being restarted, until its first healthy answer. It ends with the release.
func (s *Supervisor) holdWhileDown(r *release) {
	ctx, cancel := context.WithCancel(s.life)
	defer cancel()
	context.AfterFunc(ctx, r.upstream.Resume)
	go func() {
		select {
		case <-r.gone:
			cancel()
		case <-ctx.Done():
		}
	}()

	st, changed := r.web.Watch()
	healthy, _ := s.provenAt(r)
	for ctx.Err() == nil {
		switch {
		case st.GaveUp || st.State == runner.Running && st.StartedAt.Equal(healthy):
			r.upstream.Resume() // it answers, or nothing will: no one has to wait
		case st.State != runner.Running:
			r.upstream.Suspend()
		default:
			r.upstream.Suspend()
			if s.answersAgain(ctx, r, changed) {
				healthy = st.StartedAt
				r.upstream.Resume()
				s.prove(r, healthy)
			}
		}
		select {
		case <-changed:
			st, changed = r.web.Watch()
		case <-ctx.Done():
		}
	}
}

// answersAgain waits for the first healthy answer of a restarted web process;
// without a health check, for the first accepted connection. It reports false
// when something has changed first.
func (s *Supervisor) answersAgain(ctx context.Context, r *release, changed <-chan struct{}) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	spec := r.web.Spec()
	health := r.config.Process(spec.Process).Health
	probe, interval := s.opt.Probe, config.DefaultHealthInterval
	url := ""
	if health != nil {
		url, interval = healthURL(r.config, spec.Port, health), health.Interval
	} else {
		url, probe = net.JoinHostPort(r.config.Proxy.UpstreamHost, portText(spec.Port)), probeTCP
	}
	return firstAnswer(ctx, probe, url, interval)
}

// firstAnswer tries until an attempt succeeds; it reports false when ctx ended.
func firstAnswer(ctx context.Context, probe func(context.Context, string) error, url string, interval time.Duration) bool {
	const longestAttempt = 5 * time.Second
	for {
		attempt, cancel := context.WithTimeout(ctx, longestAttempt)
		err := probe(attempt, url)
		cancel()
		if err == nil {
			return ctx.Err() == nil
		}
		if !wait(ctx, interval) {
			return false
		}
	}
}

// probeTCP makes one connection: nil when it is accepted.
func probeTCP(ctx context.Context, addr string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}
